"""The natural logarithm, entry by entry.

Source: torch.log.
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def log(input: np.ndarray) -> np.ndarray:  # noqa: A002  (torch's name)
    """out = ln input                                           # any shape"""
    return np.log(input)


def log_backward(dout: np.ndarray, input: np.ndarray) -> np.ndarray:  # noqa: A002
    """dinput = dout / input                                    # any shape"""
    return dout / input
