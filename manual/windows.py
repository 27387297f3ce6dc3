"""Windows on images: what a kernel sees at each of its places, and the way back.

A kernel of kh x kw numbers is laid on an image at h' x w' places. On place (y, x) its number (i, j)
sees image[y * stride + i * dilation, x * stride + j * dilation].
"""

from collections.abc import Iterable, Sequence
from typing import Annotated

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Pair = int | tuple[int, int]
# What is added on each side of an axis, for each of the last axes
Frame = Annotated[tuple[int, ...], "numbers of entries, 0 or more"]


def pair(n: Pair) -> tuple[int, int]:
    """One number stands for both directions."""
    return n if isinstance(n, tuple) else (n, n)


def padded(x: np.ndarray, padding: Pair, value: float = 0.0) -> np.ndarray:
    """The image in a frame.                      # [m, c, h, w] -> [m, c, h + 2 ph, w + 2 pw]

    Raises:
        ValueError: padding is below 0.
    """
    ph, pw = pair(padding)
    if min(ph, pw) < 0:
        raise ValueError(f"padding is {(ph, pw)}, expected 0 or more")
    edges = ((0, 0), (0, 0), (ph, ph), (pw, pw))
    return np.pad(x, edges, constant_values=value) if ph or pw else x


def require_half(function: str, kernel: Pair, padding: Pair) -> None:
    """Raise ValueError where padding is more than half of the kernel: a window could see nothing
    else."""
    (kh, kw), (ph, pw) = pair(kernel), pair(padding)
    if 2 * ph > kh or 2 * pw > kw:
        raise ValueError(
            f"{function}: padding is {(ph, pw)}, expected at most half of the kernel {(kh, kw)}"
        )


def without_padding(x: np.ndarray, padding: Pair) -> np.ndarray:
    """The image without its frame.               # [m, c, h + 2 ph, w + 2 pw] -> [m, c, h, w]"""
    ph, pw = pair(padding)
    return x[:, :, ph : x.shape[2] - ph, pw : x.shape[3] - pw].copy() if ph or pw else x


def windows(x: np.ndarray, kernel: Pair, stride: Pair, dilation: Pair = 1) -> np.ndarray:
    """What each number of the kernel sees, as a view.    # [m, c, h, w] -> [m, c, kh, kw, h', w']

    h' = (h - (kh - 1) * dilation - 1) // stride + 1

    Raises:
        ValueError: the kernel does not fit into the image, or a stride or dilation is below 1.
    """
    (kh, kw), (sh, sw), (dh, dw) = pair(kernel), pair(stride), pair(dilation)
    if min(kh, kw, sh, sw, dh, dw) < 1:
        raise ValueError(
            f"kernel {(kh, kw)}, stride {(sh, sw)} and dilation {(dh, dw)}: expected 1 or more"
        )
    reach = (kh - 1) * dh + 1, (kw - 1) * dw + 1
    if x.ndim != 4 or x.shape[2] < reach[0] or x.shape[3] < reach[1]:
        raise ValueError(
            f"a window of {reach} does not fit into {x.shape}, expected (m, c, h, w) with h and w "
            "as large, padding included"
        )
    seen = sliding_window_view(x, reach, axis=(2, 3))  # [m, c, h'', w'', *reach]
    return seen[:, :, ::sh, ::sw, ::dh, ::dw].transpose(0, 1, 4, 5, 2, 3)


def added_windows(
    seen: Iterable[np.ndarray],
    kernel: Pair,
    size: Sequence[int],
    stride: Pair,
    dilation: Pair = 1,
) -> np.ndarray:
    """The way back: every number is added where it was seen.

    # kh * kw of [m, c, h', w'] -> [m, c, h, w]

    seen holds one array for each number of the kernel, row by row; they may be made one by one,
    which saves memory. size is the image's (h, w).

    This is the backward of windows: what several windows see gets the sum of their gradients.
    """
    (sh, sw), (dh, dw) = pair(stride), pair(dilation)
    image = None
    for (i, j), part in zip(np.ndindex(*pair(kernel)), seen, strict=True):
        m, c, h, w = part.shape
        if image is None:
            image = np.zeros_like(part, shape=(m, c, *size))
        rows = slice(i * dh, i * dh + (h - 1) * sh + 1, sh)
        columns = slice(j * dw, j * dw + (w - 1) * sw + 1, sw)
        image[:, :, rows, columns] += part
    assert image is not None, "a kernel has at least one number"
    return image
