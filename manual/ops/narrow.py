"""A slice along one axis: input[start : start + length] of the axis dim.

Source: torch.narrow.
"""

import numpy as np

from torch_parity.manual.recording import operation


@operation
def narrow(
    input: np.ndarray,  # noqa: A002  (torch's name)
    *,
    dim: int,
    start: int,
    length: int,
) -> np.ndarray:
    """out = the entries start ... start + length - 1 of the axis dim"""
    return input[_places(input, dim, start, length)].copy()


def narrow_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    *,
    dim: int,
    start: int,
    length: int,
) -> np.ndarray:
    """dinput = dout in its place, and 0 in all others"""
    dinput = np.zeros_like(dout, shape=input.shape)
    dinput[_places(input, dim, start, length)] = dout
    return dinput


def _places(x: np.ndarray, dim: int, start: int, length: int) -> tuple[slice, ...]:
    n = x.shape[dim]
    begin = start + n if start < 0 else start
    if not 0 <= begin <= begin + length <= n:
        raise ValueError(f"narrow: {start} and {length} entries on, of {n} along axis {dim}")
    return (slice(None),) * (dim % x.ndim) + (slice(begin, begin + length),)
