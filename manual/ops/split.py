"""The parts of a tensor along an axis: the gates of an LSTM, the queries, keys and values.

Source: torch.split.
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def split(
    input: np.ndarray,  # noqa: A002  (torch's name)
    *,
    split_size: int | tuple[int, ...],
    dim: int = 0,
) -> tuple[np.ndarray, ...]:
    """parts = input, cut along dim             # [n, ...] -> [n1, ...], [n2, ...], ...

    split_size is the length of each part, of which the last may be shorter, or all their lengths.

    Raises:
        ValueError: the lengths do not add up to n.
    """
    n = input.shape[dim]
    if isinstance(split_size, tuple):
        ends = np.cumsum(split_size).tolist()
        if min(split_size, default=-1) < 0 or ends[-1] != n:
            raise ValueError(
                f"split: parts of {split_size} along axis {dim}, which has {n} entries"
            )
    else:
        ends = [*range(split_size, n, split_size), n]
    return tuple(part.copy() for part in np.split(input, ends[:-1], axis=dim))


def split_backward(*dparts: np.ndarray, dim: int = 0) -> np.ndarray:
    """dinput = the gradients of the parts, joined along dim"""
    return np.concatenate(dparts, axis=dim)
