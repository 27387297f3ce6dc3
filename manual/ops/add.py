"""A sum of two tensors: a shortcut around a block, a position added to a token.

Source: He et al. 2015 (residual networks); torch.add.
"""

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import unbroadcast


@operation
def add(input: np.ndarray, other: np.ndarray) -> np.ndarray:  # noqa: A002  (torch's name)
    """out = input + other                                      # NumPy's broadcasting"""
    return input + other


def add_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    other: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """dinput = dout;  dother = dout: a sum hands its gradient to both of its terms.

    Where a term was broadcast, its gradient is summed over the axes that it was repeated along.
    """
    return unbroadcast(dout, input.shape), unbroadcast(dout, other.shape)
