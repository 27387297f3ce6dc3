"""GELU: z times the probability that a standard normal number is below z.

The exact form needs erf; the other approximates it by tanh, and differs by up to 5e-4. Models are
trained with either, so a port has to take the same.

Source: Hendrycks and Gimpel 2016; torch.nn.GELU.
"""

from typing import Literal

import numpy as np

from torch_parity.manual.erf import erf
from torch_parity.manual.recording import operation

ROOT_HALF = float(np.sqrt(0.5))
ROOT_2_OVER_PI = float(np.sqrt(2 / np.pi))
CUBIC = 0.044715

Approximate = Literal["none", "tanh"]


@operation
def gelu(z: np.ndarray, *, approximate: Approximate = "none") -> np.ndarray:
    """a = z Phi(z),  Phi(z) = (1 + erf(z / sqrt 2)) / 2        # any shape

    approximate="tanh": Phi(z) = (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2
    """
    if approximate == "tanh":
        return 0.5 * z * (1 + np.tanh(ROOT_2_OVER_PI * (z + CUBIC * z * z * z)))
    return 0.5 * z * (1 + erf(z * ROOT_HALF))


def gelu_backward(
    da: np.ndarray, z: np.ndarray, *, approximate: Approximate = "none"
) -> np.ndarray:
    """dz = da (Phi(z) + z phi(z)),  phi(z) = e^(-z^2 / 2) / sqrt(2 pi)

    approximate="tanh": with t the tanh,
    dz = da ((1 + t) / 2 + z (1 - t^2) / 2 * sqrt(2/pi) (1 + 3 * 0.044715 z^2))
    """
    if approximate == "tanh":
        t = np.tanh(ROOT_2_OVER_PI * (z + CUBIC * z * z * z))
        inner = ROOT_2_OVER_PI * (1 + 3 * CUBIC * z * z)
        return da * (0.5 * (1 + t) + 0.5 * z * (1 - t * t) * inner)
    density = np.exp(-0.5 * z * z) * (ROOT_HALF / float(np.sqrt(np.pi)))
    return da * (0.5 * (1 + erf(z * ROOT_HALF)) + z * density)
