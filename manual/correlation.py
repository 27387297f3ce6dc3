"""The product that conv2d and conv_transpose2d are made of: three tensors, an image x, a kernel and
what the kernel makes of x. Each of the three functions makes one of them from the other two.

The windows become columns, so that it is a matrix product (im2col); the gradients take one number
of the kernel at a time, which needs less memory. The channels are in groups that do not see each
other.
"""

from collections.abc import Sequence

import numpy as np

from torch_parity.manual.windows import Pair, added_windows, windows


def correlated(
    x: np.ndarray, kernel: np.ndarray, stride: Pair, dilation: Pair, groups: int
) -> np.ndarray:
    """y[m, o, .] = sum over c, i, j of kernel[o, c, i, j] * what (i, j) sees of x[m, c]

    # [m, c, h, w], [o, c / groups, kh, kw] -> [m, o, h', w']

    Raises:
        ValueError: the kernel is larger than x.
    """
    seen = windows(x, kernel.shape[2:], stride, dilation)
    y = _grouped(kernel, groups) @ _columns(seen, groups)  # [g, o/g, n] @ [m, g, n, h'w']
    return y.reshape(len(x), len(kernel), *seen.shape[-2:])


def spread(
    y: np.ndarray,
    kernel: np.ndarray,
    size: Sequence[int],
    stride: Pair,
    dilation: Pair,
    groups: int,
) -> np.ndarray:
    """The gradient of x: each place hands y * kernel back to the window that it saw.

    # [m, o, h', w'], [o, c / groups, kh, kw] -> [m, c, h, w];  size is (h, w)
    """
    m, o, h, w = y.shape
    places = y.reshape(m, groups, o // groups, -1)
    shape = m, kernel.shape[1] * groups, h, w
    seen = (  # [g, c/g, o/g] @ [m, g, o/g, h'w'], one by one for the numbers of the kernel
        (kernel[:, :, i, j].reshape(groups, o // groups, -1).swapaxes(-1, -2) @ places).reshape(
            shape
        )
        for i, j in np.ndindex(*kernel.shape[2:])
    )
    return added_windows(seen, kernel.shape[2:], size, stride, dilation)


def kernel_gradient(
    y: np.ndarray,
    x: np.ndarray,
    kernel: tuple[int, int],
    stride: Pair,
    dilation: Pair,
    groups: int,
) -> np.ndarray:
    """The gradient of the kernel: over samples and places, the sum of y * what (i, j) sees of x.

    # [m, o, h', w'], [m, c, h, w] -> [o, c / groups, kh, kw];  kernel is its (kh, kw)
    """
    m, o, h, w = y.shape
    # a transposed convolution's output_padding may leave room for more places than y has
    seen = windows(x, kernel, stride, dilation)[..., :h, :w]
    places = y.reshape(m, groups, o // groups, -1)
    gradients = [  # [m, g, o/g, h'w'] @ [m, g, h'w', c/g], for each number of the kernel
        (places @ seen[:, :, i, j].reshape(m, groups, -1, h * w).swapaxes(-1, -2)).sum(axis=0)
        for i, j in np.ndindex(kernel)
    ]
    return np.stack(gradients, axis=-1).reshape(o, x.shape[1] // groups, *kernel)


def _columns(seen: np.ndarray, groups: int) -> np.ndarray:
    """[m, c, kh, kw, h', w'] -> [m, groups, c / groups * kh * kw, h' * w']"""
    places = seen.shape[-2] * seen.shape[-1]
    return seen.reshape(len(seen), groups, -1, places)


def _grouped(kernel: np.ndarray, groups: int) -> np.ndarray:
    """[o, c / groups, kh, kw] -> [groups, o / groups, c / groups * kh * kw]"""
    return kernel.reshape(groups, len(kernel) // groups, -1)
