"""Softplus: a ReLU without its kink; its slope is the sigmoid.

Source: Dugas et al. 2001; torch.nn.Softplus.
"""

import numpy as np

from torch_parity.manual.ops.sigmoid import sigmoid
from torch_parity.manual.recording import operation


@operation
def softplus(z: np.ndarray, *, beta: float = 1.0, threshold: float = 20.0) -> np.ndarray:
    """a = log(1 + e^(beta z)) / beta;  a = z where beta z > threshold      # any shape

    Above torch's threshold the two are the same but for e^-threshold, and e^(beta z) may overflow.
    """
    linear = beta * z.real > threshold
    below = np.where(linear, threshold, beta * z)
    return np.where(linear, z, np.log1p(np.exp(below)) / beta)


def softplus_backward(
    da: np.ndarray, z: np.ndarray, *, beta: float = 1.0, threshold: float = 20.0
) -> np.ndarray:
    """dz = da sigmoid(beta z);  dz = da where beta z > threshold           # any shape"""
    return da * np.where(beta * z > threshold, 1, sigmoid(beta * z))
