"""A quotient of two tensors, entry by entry.

Source: torch.div.
"""

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import unbroadcast


@operation
def div(input: np.ndarray, other: np.ndarray) -> np.ndarray:  # noqa: A002  (torch's name)
    """out = input / other    # NumPy's broadcasting"""
    return input / other


def div_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    other: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """dinput = dout / other;  dother = -dout input / other^2

    Where an operand was broadcast, its gradient is summed over the axes that it was repeated along.
    """
    return unbroadcast(dout / other, input.shape), unbroadcast(
        -dout * (input / other) / other, other.shape
    )
