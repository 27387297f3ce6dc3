"""The axes in another order; with two of them, the transpose.

Source: torch.permute.
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def permute(input: np.ndarray, *, dims: tuple[int, ...]) -> np.ndarray:  # noqa: A002
    """out = input with its axes in the order dims              # axis i of out: dims[i] of input"""
    return input.transpose(dims).copy()


def permute_backward(dout: np.ndarray, *, dims: tuple[int, ...]) -> np.ndarray:
    """dinput = dout with each axis put back: the inverse order, which is dims only for a swap"""
    inverse = np.argsort([dim % dout.ndim for dim in dims])
    return dout.transpose(tuple(int(i) for i in inverse)).copy()
