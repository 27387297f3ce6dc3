"""The largest entry along one axis, several, or all of them.

torch.amax shares the gradient among equal largest entries; torch.max(dim) gives it all to one.

Source: torch.amax.
"""

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import Dim, kept


@operation
def amax(
    input: np.ndarray,  # noqa: A002  (torch's name)
    *,
    dim: Dim = None,
    keepdim: bool = False,
) -> np.ndarray:
    """out = max of input along dim; None is all axes           # [..., n, ...] -> [..., ...]"""
    if input.dtype.kind == "c":  # the exact derivative: equal entries share it
        largest = input.real == input.real.max(axis=dim, keepdims=True)
        return input.mean(axis=dim, keepdims=keepdim, where=largest)
    return input.max(axis=dim, keepdims=keepdim)


def amax_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    *,
    dim: Dim = None,
    keepdim: bool = False,
) -> np.ndarray:
    """dinput = dout / k where input is the largest, else 0     # k entries are the largest"""
    largest = (input == input.max(axis=dim, keepdims=True)).astype(dout.dtype)
    k = largest.sum(axis=dim, keepdims=True)
    return kept(dout, input.shape, dim, keepdim) * largest / k
