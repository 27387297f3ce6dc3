"""ReLU: the activation to reach for when in doubt; its slope does not vanish for large z.

Source: course week 3, "activation functions"; torch.nn.ReLU.
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def relu(z: np.ndarray) -> np.ndarray:
    """a = max(0, z)                                            # [m, n] -> [m, n]"""
    return np.maximum(z, 0)


def relu_backward(da: np.ndarray, z: np.ndarray) -> np.ndarray:
    """dz = da where z > 0, else 0                              # [m, n], [m, n] -> [m, n]

    The slope at z = 0 is 0, as in torch. Multiplying is several times faster than np.where and
    differs from torch only where da is infinite or NaN and z <= 0 (NaN here, 0 there): training
    that gets there has diverged already, and NaN says so.
    """
    return da * (z > 0)
