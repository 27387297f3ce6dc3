"""Sums by place: what is added to the same entry, in whatever order.

The gradient of an operation that moves numbers is such a sum: each number's gradient adds up those
of all places that it went to. So the operation runs on positions, as in positions.py.
"""

from typing import Any

import numpy as np
import torch

from torch_parity.compare.bounds import sums
from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.elementwise import scaled
from torch_parity.compare.bounds.tensors.positions import moved, numbered
from torch_parity.compare.bounds.tensors.products import inner, outer
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.unbounded import Unbounded

A = torch.ops.aten


def summed(terms: Any, places: Any, shape: Any, start: Any = None) -> Any:
    """Each term added to the entry of its place: 1 is the first, 0 none."""
    at = np.asarray(places).reshape(-1).astype(np.int64) - 1
    flat = None if start is None else start.reshape(-1)
    size = int(np.prod(tuple(shape)))
    return sums.scattered(terms.reshape(-1), at, size, flat).reshape(tuple(shape))


def adjoint(grad: Any, places: torch.Tensor, shape: Any) -> BoundedTensor:
    """The gradient of numbers of this shape that went where their positions stand."""
    return outer(summed(inner(grad, grad.dtype), places, shape), grad.dtype)


def added_at(x: Any, places: torch.Tensor, source: Any, alpha: Any = 1) -> BoundedTensor:
    """x, and the source added at these places of it"""
    terms: Any = scaled(inner(source, x.dtype), alpha)
    terms = np.broadcast_to(terms, tuple(places.shape))
    return outer(summed(terms, places, x.shape, inner(x, x.dtype)), x.dtype)


@rule("index_put", "_unsafe_index_put", "_index_put_impl")
def index_put(
    x: Any, indices: Any, values: Any, accumulate: bool = False, unsafe: bool = False
) -> Any:
    """x with values put, or added, at the indices"""
    if not x.is_floating_point():
        return A.index_put.default(x, indices, values, accumulate)
    if not accumulate:
        return moved(A.index_put.default)(x, indices, values)
    return added_at(x, numbered(x)[_dotted(indices)], values)


def _dotted(indices: Any) -> tuple[Any, ...]:
    return tuple(slice(None) if i is None else i for i in indices)


@rule("put")
def put(x: Any, index: torch.Tensor, source: Any, accumulate: bool = False) -> Any:
    """x with the source put, or added, at places in it"""
    if not accumulate:
        return moved(A.put.default)(x, index, source)
    return added_at(x, numbered(x).take(index), source)


@rule("scatter_add")
def scatter_add(x: Any, dim: int, index: torch.Tensor, src: Any) -> Any:
    """x[index[i]] += src[i] along a dimension"""
    if not x.is_floating_point():
        return A.scatter_add.default(x, dim, index, src)
    return added_at(x, numbered(x).gather(dim, index), _like_index(src, index))


def _like_index(src: Any, index: torch.Tensor) -> Any:
    """The part of the source that the index has places for."""
    if not index.ndim or not src.ndim:
        return src.reshape(index.shape)
    return src[tuple(slice(n) for n in index.shape)]


@rule("scatter.reduce", "scatter.value_reduce")
def scatter_reduced(x: Any, dim: int, index: torch.Tensor, src: Any, *, reduce: str) -> Any:
    """scatter_add, where the reduction is a sum"""
    if reduce != "add":
        raise Unbounded(f"aten::scatter with reduce={reduce!r} has no rounding bound")
    if not isinstance(src, torch.Tensor):
        return added_at(x, numbered(x).gather(dim, index), src)
    return scatter_add(x, dim, index, src)


@rule("scatter_reduce")
def scatter_reduce(
    x: Any, dim: int, index: torch.Tensor, src: Any, reduce: str, *, include_self: bool = True
) -> Any:
    """Sums, means, greatest and least by place"""
    places = numbered(x).gather(dim, index)
    terms, start = inner(_like_index(src, index), x.dtype), inner(x, x.dtype)
    touched = torch.zeros(x.shape).scatter(dim, index, 1.0).bool().numpy()
    if reduce in ("sum", "mean"):
        if not include_self:
            start = np.where(touched, 0.0, start)
        result = summed(terms, places, x.shape, start)
        if reduce == "mean":
            ones = torch.ones_like(index)
            count = torch.zeros(x.shape, dtype=torch.int64).scatter_add(dim, index, ones)
            divisor = (count + int(include_self)).clamp_min(1).numpy()
            result = result / divisor.astype(result.value.dtype)
        return outer(result, x.dtype)
    if reduce not in ("amax", "amin"):
        raise Unbounded(f"aten::scatter_reduce with {reduce!r} has no rounding bound")
    sign = 1 if reduce == "amax" else -1
    least = np.where(touched, -np.inf, sign * start.value)
    value = (sign * start.value if include_self else least).reshape(-1).copy()
    error = (
        (start.error if include_self else np.where(touched, 0.0, start.error)).reshape(-1).copy()
    )
    at = places.numpy().reshape(-1) - 1
    np.maximum.at(value, at, sign * terms.value.reshape(-1))
    np.maximum.at(error, at, terms.error.reshape(-1))
    shape = tuple(x.shape)
    return outer(start.like(sign * value.reshape(shape), error.reshape(shape)), x.dtype)


@rule("index_add")
def index_add(x: Any, dim: int, index: torch.Tensor, source: Any, *, alpha: Any = 1) -> Any:
    """x[index[i]] += alpha source[i] along a dimension"""
    if not x.is_floating_point():
        return A.index_add.default(x, dim, index, source, alpha=alpha)
    return added_at(x, numbered(x).index_select(dim, index), source, alpha)


@rule("embedding_dense_backward")
def embedding_dense_backward(
    grad: Any, indices: torch.Tensor, num_weights: int, padding_idx: int, by_frequency: bool
) -> Any:
    """Each row's gradient: the sum of those of the places that it was looked up for"""
    width = grad.shape[-1]
    rows = numbered(torch.empty(num_weights, width))
    if 0 <= padding_idx < num_weights:
        rows[padding_idx] = 0
    terms = inner(grad, grad.dtype).reshape(-1, width)
    if by_frequency:
        count = torch.bincount(indices.reshape(-1), minlength=num_weights)[indices.reshape(-1)]
        terms = terms / count.numpy()[:, None].astype(terms.value.dtype)
    places = rows[indices.reshape(-1)]
    return outer(summed(terms, places, (num_weights, width)), grad.dtype)


@rule("unfold_backward")
def unfold_backward(grad: Any, input_sizes: Any, dim: int, size: int, step: int) -> Any:
    """The gradient of windows along a dimension"""
    places = numbered(torch.empty(tuple(input_sizes), device="meta")).unfold(dim, size, step)
    return adjoint(grad, places, input_sizes)


@rule("col2im")
def col2im(x: Any, output_size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """The gradient of im2col"""
    columns = x if x.ndim == 3 else x.unsqueeze(0)
    channels = columns.shape[1] // int(np.prod(kernel))
    shape = (columns.shape[0], channels, *output_size)
    image = numbered(torch.empty(shape, device="meta")).double()
    places = A.im2col.default(image, kernel, dilation, padding, stride)
    found = adjoint(columns, places, shape)
    return found if x.ndim == 3 else found.squeeze(0)


def _padding(name: str) -> None:
    forward = getattr(A, name).default

    def backward(grad: Any, x: torch.Tensor, padding: Any) -> Any:
        """The gradient of padding with numbers of its own"""
        places = forward(numbered(torch.empty(x.shape, device="meta")).double(), padding)
        return adjoint(grad, places, x.shape)

    rule(f"{name}_backward")(backward)


def _upsampling(name: str) -> None:
    forward = getattr(A, name).default

    def backward(grad: Any, output_size: Any, input_size: Any, *scales: Any, **named: Any) -> Any:
        """The gradient of the nearest number"""
        image = numbered(torch.empty(tuple(input_size), device="meta")).double()
        return adjoint(grad, forward(image, output_size, *scales, **named), input_size)

    rule(f"{name}_backward")(backward)


for _n in (1, 2, 3):
    _padding(f"reflection_pad{_n}d")
    _padding(f"replication_pad{_n}d")
    _upsampling(f"upsample_nearest{_n}d")
    _upsampling(f"_upsample_nearest_exact{_n}d")
