"""The matrix product, of a batch of matrices as well: scores of queries and keys.

Source: torch.matmul.
"""

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import unbroadcast


@operation
def matmul(input: np.ndarray, other: np.ndarray) -> np.ndarray:  # noqa: A002  (torch's name)
    """out = input @ other                      # [..., m, k], [..., k, n] -> [..., m, n]

    The leading axes broadcast. A vector is a row on the left and a column on the right, and the
    axis that it lacks is not in the result.
    """
    return input @ other


def matmul_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    other: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """dinput = dout @ other.T;  dother = input.T @ dout   # .T of the last two axes

    Where a batch axis was broadcast, the gradient is summed over it.
    """
    rows = input[None, :] if input.ndim == 1 else input
    columns = other[:, None] if other.ndim == 1 else other
    if other.ndim == 1:
        dout = dout[..., None]
    if input.ndim == 1:
        dout = dout[..., None, :]
    dinput = unbroadcast(dout @ columns.mT, rows.shape)
    dother = unbroadcast(rows.mT @ dout, columns.shape)
    return dinput.reshape(input.shape), dother.reshape(other.shape)
