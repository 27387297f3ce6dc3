"""Softmax: turns each row of scores into probabilities that sum to 1.

Source: course 2 week 3, "softmax regression"; torch.nn.Softmax(dim=1).
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def softmax(z: np.ndarray) -> np.ndarray:
    """a_ij = e^z_ij / sum_k e^z_ik                             # [m, n] -> [m, n]

    Each row is shifted by its largest entry first, which changes nothing but the overflow.
    """
    e = np.exp(z - z.real.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_backward(da: np.ndarray, z: np.ndarray) -> np.ndarray:
    """dz = a * (da - sum_k da_k a_k),  a = softmax(z)          # [m, n], [m, n] -> [m, n]

    The same upstream gradient in a whole row gives 0: probabilities cannot all grow at once.
    """
    a = softmax(z)
    return a * (da - (da * a).sum(axis=1, keepdims=True))
