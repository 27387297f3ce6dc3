"""ELU: a ReLU whose negative side bends down smoothly to -alpha, so that the mean stays near 0.

Source: Clevert et al. 2015; torch.nn.ELU.
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def elu(z: np.ndarray, *, alpha: float = 1.0) -> np.ndarray:
    """a = z where z > 0, else alpha (e^z - 1)                  # any shape"""
    positive = z.real > 0
    return np.where(positive, z, alpha * np.expm1(np.where(positive, 0, z)))


def elu_backward(da: np.ndarray, z: np.ndarray, *, alpha: float = 1.0) -> np.ndarray:
    """dz = da where z > 0, else da alpha e^z                   # any shape

    The slope at z = 0 is alpha, as in torch.
    """
    positive = z > 0
    return np.where(positive, da, da * alpha * np.exp(np.where(positive, 0, z)))
