"""tanh: a sigmoid whose outputs are centred on 0, which makes the next layer's work easier.

Source: course week 3, "activation functions"; torch.nn.Tanh.
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def tanh(z: np.ndarray) -> np.ndarray:
    """a = (e^z - e^-z) / (e^z + e^-z)                          # [m, n] -> [m, n]"""
    return np.tanh(z)


def tanh_backward(da: np.ndarray, z: np.ndarray) -> np.ndarray:
    """dz = da * (1 - tanh(z)^2)                                # [m, n], [m, n] -> [m, n]"""
    return da * (1 - np.tanh(z) ** 2)
