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
    sizes = split_size
    if isinstance(sizes, int):
        whole, rest = divmod(n, sizes) if sizes > 0 else (0, 0)
        sizes = (sizes,) * whole + ((rest,) if rest else ())
    if sum(sizes) != n or min(sizes, default=0) < 0:
        raise ValueError(f"split: parts of {sizes} along axis {dim}, which has {n} entries")
    ends = np.cumsum(sizes[:-1], dtype=int)
    return tuple(part.copy() for part in np.split(input, ends, axis=dim))


def split_backward(*dparts: np.ndarray, dim: int = 0) -> np.ndarray:
    """dinput = the gradients of the parts, joined along dim"""
    return np.concatenate(dparts, axis=dim)
