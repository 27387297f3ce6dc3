"""Log-softmax: the logarithms of softmax's probabilities, without an overflow or a log of 0.

Source: course 2 week 3, "softmax regression" (its loss); torch.nn.LogSoftmax.
"""

import numpy as np

from torch_parity.manual.ops.softmax import softmax
from torch_parity.manual.recording import operation


@operation
def log_softmax(z: np.ndarray, *, dim: int = 1) -> np.ndarray:
    """a_i = z_i - log sum_k e^z_k, i and k along the axis dim  # any shape; [m, n]: each row

    Each sum is shifted by its largest entry first, which changes nothing but the overflow.
    """
    shifted = z - z.real.max(axis=dim, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True))


def log_softmax_backward(da: np.ndarray, z: np.ndarray, *, dim: int = 1) -> np.ndarray:
    """dz_i = da_i - softmax(z)_i sum_k da_k                    # any shape"""
    return da - softmax(z, dim=dim) * da.sum(axis=dim, keepdims=True)
