"""Adaptive average pooling: an image of any size becomes one of a given size. To (1, 1) it is the
mean of each channel, which stands before the last layer of most networks for images.

Source: Lin, Chen and Yan 2013 (global average pooling); torch.nn.AdaptiveAvgPool2d.
"""

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.windows import Pair, pair


@operation
def adaptive_avg_pool2d(
    input: np.ndarray,  # noqa: A002  (torch's name)
    *,
    output_size: Pair,
) -> np.ndarray:
    """out = rows @ input @ columns.T / how many numbers        # [m, c, h, w] -> [m, c, h', w']

    Place y of h' averages the rows from floor(y h / h') up to ceil((y + 1) h / h'); neighbours
    overlap where h' does not divide h. rows[y, i] is 1 where place y averages row i, else 0.
    """
    rows, columns = _members(input, output_size)
    return rows @ input @ columns.T / _counts(rows, columns)


def adaptive_avg_pool2d_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    *,
    output_size: Pair,
) -> np.ndarray:
    """dinput = rows.T @ (dout / how many numbers) @ columns"""
    rows, columns = _members(input, output_size)
    return rows.T @ (dout / _counts(rows, columns)) @ columns


def _members(x: np.ndarray, output_size: Pair) -> tuple[np.ndarray, np.ndarray]:
    """rows [h', h] and columns [w', w], of 0 and 1."""
    rows, columns = (
        _of_one_axis(x.shape[2 + i], n).astype(x.dtype) for i, n in enumerate(pair(output_size))
    )
    return rows, columns


def _of_one_axis(n: int, places: int) -> np.ndarray:
    if places < 1 or n < 1:
        raise ValueError(f"adaptive_avg_pool2d: {places} places of {n} numbers, expected 1 or more")
    place, i = np.arange(places)[:, None], np.arange(n)
    begin, end = place * n // places, -(-(place + 1) * n // places)
    return (begin <= i) & (i < end)


def _counts(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """[h', w']"""
    return np.outer(rows.sum(axis=1), columns.sum(axis=1))
