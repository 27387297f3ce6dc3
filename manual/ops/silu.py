"""SiLU (swish): z times its own sigmoid, a smooth ReLU that dips below 0 for z < 0.

Source: Elfwing et al. 2017; Ramachandran et al. 2017; torch.nn.SiLU.
"""

import numpy as np

from torch_parity.manual.ops.sigmoid import sigmoid
from torch_parity.manual.recording import operation


@operation
def silu(z: np.ndarray) -> np.ndarray:
    """a = z s,  s = sigmoid(z)                                 # any shape"""
    return z * sigmoid(z)


def silu_backward(da: np.ndarray, z: np.ndarray) -> np.ndarray:
    """dz = da (s + z s (1 - s)),  s = sigmoid(z)               # any shape

    The product rule: the first term holds the sigmoid fixed, the second the factor z.
    """
    s = sigmoid(z)
    return da * s * (1 + z * (1 - s))
