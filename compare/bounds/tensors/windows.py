"""Which number a window reads: for convolutions, pools and their gradients, in any dimensions.

A window over an axis of length n reads, at its k-th place, for the i-th result:

    i stride - padding + k dilation                  -1 where that is none of the n numbers

The transposed window of a convolution's gradient reads what reads it:

    j with j stride - padding + k dilation = i
"""

from typing import Any

import numpy as np


def reads(
    results: int, numbers: int, kernel: int, stride: int, padding: int, dilation: int
) -> np.ndarray:
    """Along one axis                                               # (kernel, results)"""
    k, i = np.arange(kernel)[:, None], np.arange(results)[None, :]
    at = i * stride - padding + k * dilation
    return np.where((at >= 0) & (at < numbers), at, -1)


def read_by(
    results: int, numbers: int, kernel: int, stride: int, padding: int, dilation: int
) -> np.ndarray:
    """Along one axis, transposed                                   # (kernel, results)"""
    k, i = np.arange(kernel)[:, None], np.arange(results)[None, :]
    at = i + padding - k * dilation
    ok = (at % stride == 0) & (at >= 0) & (at < numbers * stride)
    return np.where(ok, at // stride, -1)


def together(axes: list[np.ndarray], shape: Any) -> np.ndarray:
    """Of all axes at once: places in what is laid out row by row    # (kernels, results)"""
    dims = len(axes)
    found, valid = np.zeros((1,) * (2 * dims), np.int64), np.ones((1,) * (2 * dims), bool)
    for d, at in enumerate(axes):
        form = [1] * (2 * dims)
        form[d], form[dims + d] = at.shape
        step = int(np.prod(tuple(shape)[d + 1 :]))
        found = found + at.reshape(form) * step
        valid = valid & (at.reshape(form) >= 0)
    kernels = int(np.prod([at.shape[0] for at in axes]))
    return np.where(valid, found, -1).reshape(kernels, -1)


def columns(x: Any, places: np.ndarray, fill: float = 0.0) -> Any:
    """The numbers that each window reads            # (..., *spatial) -> (..., kernels, results)

    x is Bounded, its spatial axes already one.
    """
    edge = [(0, 0)] * (x.ndim - 1) + [(0, 1)]
    at = np.where(places < 0, x.shape[-1], places)
    value = np.pad(x.value, edge, constant_values=fill)[..., at]
    error = np.pad(x.error, edge)[..., at] if x.error.any() else np.zeros(value.shape)
    return x.like(value, error)


def flat(x: Any, dims: int) -> Any:
    """Its last dims axes as one."""
    return x.reshape(*x.shape[: x.ndim - dims], -1)


def as_list(given: Any, dims: int) -> list[int]:
    """One number an axis, where one may stand for all."""
    numbers = [int(n) for n in (given if isinstance(given, list | tuple) else [given])]
    return numbers * dims if len(numbers) == 1 else numbers
