"""Average pooling: each window becomes its mean.

Source: course 4 week 1, "pooling layers"; torch.nn.AvgPool2d.
"""

from functools import reduce
from itertools import repeat

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.windows import Pair, added_windows, padded, pair, windows, without_padding


@operation
def avg_pool2d(
    input: np.ndarray,  # noqa: A002  (torch's name)
    *,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    count_include_pad: bool = True,
) -> np.ndarray:
    """out[m, c, y, x] = sum of what the window at (y, x) sees / how many numbers it counts

    # [m, c, h, w] -> [m, c, h', w'],  h' = (h + 2 padding - kh) // stride + 1

    stride is the kernel's size unless given. The padding is 0. It counts, so that every window is
    divided by kh kw; without count_include_pad, by how many numbers of the image it sees.

    Raises:
        ValueError: padding is more than half of the kernel: a window could see nothing else.
    """
    stride = kernel_size if stride is None else stride
    _require_half(kernel_size, padding)
    seen = windows(padded(input, padding), kernel_size, stride)
    total = reduce(np.add, (seen[:, :, i, j] for i, j in np.ndindex(*pair(kernel_size))))
    return total / _counts(input.shape[2:], kernel_size, stride, padding, count_include_pad)


def avg_pool2d_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    *,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    count_include_pad: bool = True,
) -> np.ndarray:
    """dinput = the sum of dout / how many numbers it counts, over the windows that see a number"""
    stride = kernel_size if stride is None else stride
    (kh, kw), (ph, pw) = pair(kernel_size), pair(padding)
    height, width = input.shape[2:]
    share = dout / _counts((height, width), kernel_size, stride, padding, count_include_pad)
    size = height + 2 * ph, width + 2 * pw
    framed = added_windows(repeat(share, kh * kw), kernel_size, size, stride)
    return without_padding(framed, padding)


def _counts(
    size: tuple[int, ...], kernel_size: Pair, stride: Pair, padding: Pair, count_include_pad: bool
) -> np.ndarray | int:
    """How many numbers each window counts: one for all, or            # -> [h', w']"""
    kh, kw = pair(kernel_size)
    if count_include_pad:
        return kh * kw
    ones = padded(np.ones((1, 1, *size), np.float32), padding)
    return windows(ones, kernel_size, stride).sum(axis=(2, 3))[0, 0]


def _require_half(kernel_size: Pair, padding: Pair) -> None:
    (kh, kw), (ph, pw) = pair(kernel_size), pair(padding)
    if 2 * ph > kh or 2 * pw > kw:
        raise ValueError(
            f"avg_pool2d: padding is {(ph, pw)}, expected at most half of the kernel {(kh, kw)}"
        )
