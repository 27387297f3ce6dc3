"""A difference of two tensors.

Source: torch.sub.
"""

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import unbroadcast


@operation
def sub(input: np.ndarray, other: np.ndarray) -> np.ndarray:  # noqa: A002  (torch's name)
    """out = input - other    # NumPy's broadcasting"""
    return input - other


def sub_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    other: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """dinput = dout;  dother = -dout

    Where an operand was broadcast, its gradient is summed over the axes that it was repeated along.
    """
    return unbroadcast(dout, input.shape), unbroadcast(-dout, other.shape)
