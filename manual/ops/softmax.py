"""Softmax: turns each row of scores into probabilities that sum to 1.

Source: course 2 week 3, "softmax regression"; torch.nn.Softmax(dim=1).
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def softmax(z: np.ndarray, *, dim: int = 1) -> np.ndarray:
    """a_i = e^z_i / sum_k e^z_k, i and k along the axis dim    # any shape; [m, n]: each row

    Each sum is shifted by its largest entry first, which changes nothing but the overflow.
    """
    e = np.exp(z - z.real.max(axis=dim, keepdims=True))
    return e / e.sum(axis=dim, keepdims=True)


def softmax_backward(da: np.ndarray, z: np.ndarray, *, dim: int = 1) -> np.ndarray:
    """dz_i = a_i (da_i - sum_k da_k a_k),  a = softmax(z)      # any shape

    The same upstream gradient in a whole row gives 0: probabilities cannot all grow at once.
    """
    a = softmax(z, dim=dim)
    return a * (da - (da * a).sum(axis=dim, keepdims=True))
