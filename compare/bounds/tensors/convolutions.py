"""Convolutions of any dimensions, stride, padding, dilation and groups, transposed, and backward.

What a window reads is laid out as a column (windows.py), and the columns are multiplied:

    y = w @ columns(x)       dx = w^T @ columns(dy), transposed       dw = dy @ columns(x)^T
"""

from typing import Any

import numpy as np

from torch_parity.compare.bounds import products, sums
from torch_parity.compare.bounds.tensors.products import inner, outer
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.unbounded import Unbounded
from torch_parity.compare.bounds.tensors.windows import (
    as_list,
    columns,
    flat,
    read_by,
    reads,
    together,
)

# How many numbers of columns are held at once.
COLUMNS_AT_ONCE = 2**24


class Geometry:
    """How windows lie: for what is read, and for what they make of it."""

    def __init__(self, w: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> None:
        self.dims = len(w.shape) - 2
        self.kernel = tuple(w.shape[2:])
        self.stride, self.padding, self.dilation = (
            as_list(each, self.dims) for each in (stride, padding, dilation)
        )
        self.groups = groups

    def places(self, wide: Any, narrow: Any, transposed: bool) -> np.ndarray:
        """Of the windows that make the narrow side of the wide one; transposed, the other way."""
        axes = []
        for each in range(self.dims):
            options = (
                self.kernel[each],
                self.stride[each],
                self.padding[each],
                self.dilation[each],
            )
            if transposed:
                axes.append(read_by(wide[each], narrow[each], *options))
            else:
                axes.append(reads(narrow[each], wide[each], *options))
        return together(axes, narrow if transposed else wide)


def convolved(x: Any, w: Any, places: np.ndarray, groups: int) -> Any:
    """The columns of x, multiplied

    x (n, c_in, numbers), w (groups, c_out / groups, c_in / groups * kernels) -> (n, c_out, results)
    """
    n, c, length = x.shape
    kernels, results = places.shape
    grouped = x.reshape(n, groups, c // groups, length)
    parts = []
    for some in np.array_split(np.arange(n), _pieces(n, c * kernels * results)):
        read = columns(grouped[some], places)
        read = read.reshape(len(some), groups, c // groups * kernels, results)
        parts.append(products.matmul(w.reshape(1, *w.shape), read))
    found = _joined(parts)
    return _reshaped(found, (n, w.shape[0] * w.shape[1], results))


def _pieces(n: int, size: int) -> int:
    return min(max(n, 1), n * size // COLUMNS_AT_ONCE + 1)


def _joined(parts: list[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    joined = parts[0].like(
        np.concatenate([p.value for p in parts]), np.concatenate([p.error for p in parts])
    )
    joined.begun = parts[0].begun
    return joined


def _reshaped(x: Any, shape: tuple[int, ...]) -> Any:
    result = x.reshape(*shape)
    result.begun = x.begun
    return result


def weight_gradient(narrow: Any, wide: Any, places: np.ndarray, groups: int) -> Any:
    """(n, a, results), (n, b, numbers) -> (groups, a / groups, b / groups * kernels)"""
    n, a, results = narrow.shape
    b, kernels = wide.shape[1], places.shape[0]
    read = columns(wide.reshape(n, groups, b // groups, -1), places)
    read = read.reshape(n, groups, b // groups * kernels, results)
    left = narrow.reshape(n, groups, a // groups, results).transpose(1, 2, 0, 3)
    left = left.reshape(groups, a // groups, n * results)
    right = read.transpose(1, 0, 3, 2).reshape(groups, n * results, b // groups * kernels)
    return products.matmul(left, right)


def by_output(w: Any, groups: int) -> Any:
    """(c_out, c_in / groups, *kernel) -> (groups, c_out / groups, c_in / groups * kernels)"""
    return w.reshape(groups, w.shape[0] // groups, -1)


def by_input(w: Any, groups: int) -> Any:
    """(a, b / groups, *kernel) -> (groups, b / groups, a / groups * kernels)"""
    a, b = w.shape[:2]
    parts = w.reshape(groups, a // groups, b, -1).transpose(0, 2, 1, 3)
    return parts.reshape(groups, b, -1)


def _lengths(x: Any, form: Geometry, transposed: bool, output_padding: Any) -> tuple[int, ...]:
    """The spatial shape of a convolution's result."""
    extra = as_list(output_padding, form.dims)
    sizes = []
    for d, length in enumerate(x.shape[2:]):
        reach = form.dilation[d] * (form.kernel[d] - 1)
        if transposed:
            made = (length - 1) * form.stride[d] - 2 * form.padding[d] + reach + extra[d] + 1
        else:
            made = (length + 2 * form.padding[d] - reach - 1) // form.stride[d] + 1
        sizes.append(int(made))
    return tuple(sizes)


@rule("convolution", "convolution_overrideable", "_convolution")
def convolution(
    x: Any, w: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: int, *_: Any, **__: Any,
) -> Any:  # fmt: skip
    """sum over channels and kernel of w x, and the bias"""
    if x.ndim != w.ndim:
        raise Unbounded("aten::convolution without a batch")
    form = Geometry(w, stride, padding, dilation, groups)
    spatial = _lengths(x, form, transposed, output_padding)
    a, b = inner(x, x.dtype), inner(w, x.dtype)
    if transposed:
        places = form.places(spatial, x.shape[2:], True)
        found = convolved(flat(a, form.dims), by_input(b, groups), places, groups)
    else:
        places = form.places(x.shape[2:], spatial, False)
        found = convolved(flat(a, form.dims), by_output(b, groups), places, groups)
    if bias is not None:
        found = np.add(found, inner(bias, x.dtype).reshape(1, -1, 1))
    return outer(found.reshape(x.shape[0], -1, *spatial), x.dtype)


@rule("convolution_backward", "convolution_backward_overrideable")
def convolution_backward(grad: Any, x: Any, w: Any, *options: Any) -> tuple[Any, Any, Any]:
    """dx, dw and db, those that are asked for"""
    if len(options) == 8:
        _, stride, padding, dilation, transposed, _, groups, wanted = options
    else:
        stride, padding, dilation, transposed, _, groups, wanted = options
    form = Geometry(w, stride, padding, dilation, groups)
    dtype = grad.dtype
    g, a, b = (inner(each, dtype) for each in (grad, x, w))
    g, a = flat(g, form.dims), flat(a, form.dims)
    small, large = (x, grad) if transposed else (grad, x)
    spread = form.places(large.shape[2:], small.shape[2:], False)
    dx = dw = db = None
    if wanted[0]:
        if transposed:
            dx = convolved(g, by_output(b, groups), spread, groups)
        else:
            back = form.places(large.shape[2:], small.shape[2:], True)
            dx = convolved(g, by_input(b, groups), back, groups)
        dx = outer(dx.reshape(*x.shape), dtype)
    if wanted[1]:
        narrow, wide = (a, g) if transposed else (g, a)
        dw = outer(weight_gradient(narrow, wide, spread, groups).reshape(*w.shape), dtype)
    if wanted[2]:
        db = outer(sums.total(g, g, (0, 2)), dtype)
    return dx, dw, db


@rule("mkldnn_convolution")
def mkldnn_convolution(
    x: Any, w: Any, bias: Any, padding: Any, stride: Any, dilation: Any, groups: int
) -> Any:
    """convolution, with its options in another order"""
    return convolution(x, w, bias, stride, padding, dilation, False, [0], groups)
