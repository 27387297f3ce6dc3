"""The mean along one axis, several, or all of them.

Source: torch.mean.
"""

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import Dim, kept


@operation
def mean(
    input: np.ndarray,  # noqa: A002  (torch's name)
    *,
    dim: Dim = None,
    keepdim: bool = False,
) -> np.ndarray:
    """out = 1/n sum of input along dim; None is all axes       # [..., n, ...] -> [..., ...]"""
    return input.mean(axis=dim, keepdims=keepdim)


def mean_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    *,
    dim: Dim = None,
    keepdim: bool = False,
) -> np.ndarray:
    """dinput = dout / n, repeated along dim                    # n entries have a mean in common"""
    n = input.size // max(dout.size, 1)
    return np.broadcast_to(kept(dout, input.shape, dim, keepdim) / n, input.shape).copy()
