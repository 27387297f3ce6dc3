"""Max pooling: of each window the greatest number is kept, so that a feature may move a little.

Source: course 4 week 1, "pooling layers"; torch.nn.MaxPool2d.
"""

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.windows import Pair, added_windows, padded, pair, windows, without_padding


@operation
def max_pool2d(
    input: np.ndarray,  # noqa: A002  (torch's name)
    *,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> np.ndarray:
    """out[m, c, y, x] = the greatest number that the window at (y, x) sees

    # [m, c, h, w] -> [m, c, h', w'],  h' = (h + 2 padding - (kh - 1) dilation - 1) // stride + 1

    stride is the kernel's size unless given. The padding is -inf, so that it is never the greatest.

    Raises:
        ValueError: padding is more than half of the kernel: a window could see nothing else.
    """
    seen = _seen(input, kernel_size, stride, padding, dilation)
    return seen.max(axis=2)


def max_pool2d_backward(
    dout: np.ndarray,
    input: np.ndarray,  # noqa: A002
    *,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> np.ndarray:
    """dinput = dout at the greatest number of its window, 0 elsewhere; windows that overlap add up

    Of several numbers that are the greatest the first gets all, row by row, as in torch.
    """
    seen = _seen(input, kernel_size, stride, padding, dilation)  # [m, c, kh * kw, h', w']
    first = seen.argmax(axis=2)
    shares = (np.where(first == number, dout, 0) for number in range(seen.shape[2]))
    (ph, pw), (h, w) = pair(padding), input.shape[2:]
    step = kernel_size if stride is None else stride
    framed = added_windows(shares, kernel_size, (h + 2 * ph, w + 2 * pw), step, dilation)
    return without_padding(framed, padding)


def _seen(
    x: np.ndarray, kernel_size: Pair, stride: Pair | None, padding: Pair, dilation: Pair
) -> np.ndarray:
    """[m, c, h, w] -> [m, c, kh * kw, h', w']"""
    (kh, kw), (ph, pw) = pair(kernel_size), pair(padding)
    if 2 * ph > kh or 2 * pw > kw:
        raise ValueError(
            f"max_pool2d: padding is {(ph, pw)}, expected at most half of the kernel {(kh, kw)}"
        )
    framed = padded(x, padding, -np.inf)
    seen = windows(framed, kernel_size, kernel_size if stride is None else stride, dilation)
    m, c, _, _, h, w = seen.shape
    return seen.reshape(m, c, kh * kw, h, w)
