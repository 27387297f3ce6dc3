"""A power with a fixed exponent: squares (2), roots (0.5), reciprocals (-1).

Source: torch.pow.
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def pow(input: np.ndarray, *, exponent: float) -> np.ndarray:  # noqa: A001, A002  (torch's names)
    """out = input^exponent                                     # any shape"""
    return input**exponent


def pow_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    *,
    exponent: float,
) -> np.ndarray:
    """dinput = dout exponent input^(exponent - 1)              # any shape

    An exponent of 0 gives 0, also at input = 0.
    """
    if exponent == 0:
        return dout * 0
    return dout * (exponent * input ** (exponent - 1))
