"""The entries of an axis that an index names, in its order and any of them twice.

Source: torch.index_select; NumPy's x[index].
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def index_select(input: np.ndarray, index: np.ndarray, *, dim: int = 0) -> np.ndarray:  # noqa: A002
    """out[j] = input[index[j]], along the axis dim             # [n, ...], [k] -> [k, ...]"""
    return np.take(input, index, axis=dim)


def index_select_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    index: np.ndarray,
    *,
    dim: int = 0,
) -> np.ndarray:
    """dinput[i] = sum of dout[j] over all j with index[j] = i

    An entry that is taken twice gets both gradients: dinput[index] += dout would keep only one.
    """
    dinput = np.zeros_like(dout, shape=input.shape)
    first = np.moveaxis(dinput, dim, 0)  # a view: what is added is added to dinput
    np.add.at(first, index, np.moveaxis(dout, dim, 0))
    return dinput
