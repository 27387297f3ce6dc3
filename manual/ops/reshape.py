"""The same entries, in the same order, in another shape.

Source: torch.reshape.
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def reshape(input: np.ndarray, *, shape: tuple[int, ...]) -> np.ndarray:  # noqa: A002
    """out = input in this shape; one length may be -1          # rows first, as they lie"""
    return input.reshape(shape).copy()


def reshape_backward(dout: np.ndarray, input: np.ndarray) -> np.ndarray:  # noqa: A002
    """dinput = dout in the shape of input"""
    return dout.reshape(input.shape).copy()
