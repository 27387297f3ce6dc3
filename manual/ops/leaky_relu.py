"""Leaky ReLU: a ReLU that never dies, because a small slope is left for z < 0.

Source: course week 3, "activation functions"; torch.nn.LeakyReLU.
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def leaky_relu(z: np.ndarray, *, negative_slope: float = 0.01) -> np.ndarray:
    """a = z where z > 0, else negative_slope * z               # [m, n] -> [m, n]"""
    return np.where(z.real > 0, z, negative_slope * z)


def leaky_relu_backward(
    da: np.ndarray, z: np.ndarray, *, negative_slope: float = 0.01
) -> np.ndarray:
    """dz = da where z > 0, else negative_slope * da            # [m, n], [m, n] -> [m, n]

    The slope at z = 0 is negative_slope, as in torch.
    """
    return np.where(z > 0, da, negative_slope * da)
