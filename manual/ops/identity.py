"""No activation: what the output layer uses when the loss takes the raw z (logits).

A network of nothing but identities collapses into one linear map (course week 3, "why do you need
activation functions"); torch.nn.Identity.
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def identity(z: np.ndarray) -> np.ndarray:
    """a = z, in memory of its own                              # [m, n] -> [m, n]"""
    return z.copy()


def identity_backward(da: np.ndarray, z: np.ndarray) -> np.ndarray:
    """dz = da, in memory of its own                            # [m, n], [m, n] -> [m, n]"""
    return da.copy()
