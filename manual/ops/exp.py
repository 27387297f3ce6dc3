"""The exponential function, entry by entry.

Source: torch.exp.
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def exp(input: np.ndarray) -> np.ndarray:  # noqa: A002  (torch's name)
    """out = e^input                                            # any shape"""
    return np.exp(input)


def exp_backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """dinput = dout out: the exponential is its own slope      # any shape"""
    return dout * out
