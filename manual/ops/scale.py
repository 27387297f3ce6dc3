"""A tensor times a fixed number, such as the weight of a residual block's branch.

Source: Szegedy et al. 2016, "scaling of the residuals".
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def scale(input: np.ndarray, *, factor: float) -> np.ndarray:  # noqa: A002  (torch's name)
    """out = factor * input                                     # any shape"""
    return factor * input


def scale_backward(dout: np.ndarray, *, factor: float) -> np.ndarray:
    """dinput = factor * dout                                   # any shape"""
    return factor * dout
