"""The sigmoid: squeezes any number into (0, 1), so that it can be read as a probability.

Source: course week 3, "activation functions"; torch.nn.Sigmoid.
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def sigmoid(z: np.ndarray) -> np.ndarray:
    """a = 1 / (1 + e^-z)                                       # [m, n] -> [m, n]

    Written with e^-|z|, which never overflows, so z may be in the hundreds.
    """
    positive = z.real >= 0
    e = np.exp(np.where(positive, -z, z))
    return np.where(positive, 1, e) / (1 + e)


def sigmoid_backward(da: np.ndarray, z: np.ndarray) -> np.ndarray:
    """dz = da * a * (1 - a),  a = sigmoid(z)                   # [m, n], [m, n] -> [m, n]"""
    a = sigmoid(z)
    return da * a * (1 - a)
