"""The sum along one axis, several, or all of them.

Source: torch.sum.
"""

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import Dim, kept


@operation
def sum(  # noqa: A001  (torch's name)
    input: np.ndarray,  # noqa: A002
    *,
    dim: Dim = None,
    keepdim: bool = False,
) -> np.ndarray:
    """out = sum of input along dim; None is all axes           # [..., n, ...] -> [..., ...]"""
    return input.sum(axis=dim, keepdims=keepdim)


def sum_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    *,
    dim: Dim = None,
    keepdim: bool = False,
) -> np.ndarray:
    """dinput = dout, repeated along dim: each term has the whole slope"""
    return np.broadcast_to(kept(dout, input.shape, dim, keepdim), input.shape).copy()
