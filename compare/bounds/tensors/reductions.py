"""Sums, means, variances, norms, greatest and least numbers along dimensions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from torch_parity.compare.bounds import sums, truths
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.conversions import (
    converted,
    inner_type,
    lifted,
    tensor_of,
)
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.unbounded import Unbounded


def axes_of(x: torch.Tensor, dim: Any) -> tuple[int, ...]:
    """The axes that a dim argument names: all of them where it names none."""
    if dim is None or (isinstance(dim, list | tuple) and not len(dim)):
        return tuple(range(x.ndim))
    named = dim if isinstance(dim, list | tuple) else [dim]
    return tuple(d % x.ndim for d in named) if x.ndim else ()


def in_inner(function: Callable[..., Any], x: Any, dtype: torch.dtype) -> BoundedTensor:
    """function(x) of halves is computed in float32, and rounded once."""
    inner = inner_type(dtype)
    source = x.dtype if isinstance(x, torch.Tensor) and x.is_floating_point() else dtype
    b = converted(lifted(x, source), source, inner)
    result = function(b)
    rounded = converted(result, inner, dtype)
    if inner == dtype:
        rounded.begun = result.begun
    return tensor_of(rounded, dtype)


@rule("sum", "nansum")
def total(x: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """n numbers added up, in whatever order"""
    if not isinstance(x, BoundedTensor) and not (x.is_floating_point() or _is_real(dtype)):
        return torch.sum(x, dim, keepdim, dtype=dtype)
    axes = axes_of(x, dim)
    return in_inner(lambda b: sums.total(b, b, axes, keepdim), x, dtype or _real(x))


def _is_real(dtype: Any) -> bool:
    return dtype is not None and dtype.is_floating_point


def _real(x: torch.Tensor) -> torch.dtype:
    if not x.is_floating_point():
        raise Unbounded(f"rounding may decide which {x.dtype} it is")
    return x.dtype


@rule("mean")
def mean(x: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """sum / n"""
    axes = axes_of(x, dim)
    return in_inner(lambda b: sums.mean(b, b, axes, keepdim), x, dtype or _real(x))


def _correction(unbiased: Any, correction: Any) -> float:
    if correction is not None:
        return float(correction)
    return 0.0 if unbiased is False else 1.0


def variance(b: Any, axes: Any, correction: float, keepdim: bool) -> Any:
    """sum (x - mean)^2 / (n - correction)"""
    off = b - sums.mean(b, b, axes, keepdims=True)
    n = int(np.prod([b.shape[i] for i in axes]))
    return sums.total(b, off * off, axes, keepdim) / max(n - correction, 0.0)


def _moments(name: str, root: bool, both: bool) -> None:
    def moment(
        x: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
        correction: Any = None,
    ) -> Any:  # fmt: skip
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        axes = axes_of(x, dim)
        less = _correction(unbiased, correction)

        def of(b: Any) -> Any:
            found = variance(b, axes, less, keepdim)
            return np.sqrt(found) if root else found

        found = in_inner(of, x, _real(x))
        return (found, mean(x, axes, keepdim)) if both else found

    rule(name)(moment)
    # var.correction(self, dim, *, correction, keepdim), and var.dim(self, dim, unbiased, keepdim)


_moments("var", root=False, both=False)
_moments("var_mean", root=False, both=True)
_moments("std", root=True, both=False)
_moments("std_mean", root=True, both=True)


@rule("prod")
def product(x: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """n numbers multiplied"""
    axes = axes_of(x, dim)
    return in_inner(lambda b: sums.product(b, b, axes, keepdim), x, dtype or _real(x))


@rule("cumsum")
def cumsum(x: Any, dim: int, *, dtype: Any = None) -> Any:
    """Sums of the first 1, 2, ... n numbers"""
    if not isinstance(x, BoundedTensor) and not (x.is_floating_point() or _is_real(dtype)):
        return torch.cumsum(x, dim, dtype=dtype)
    if not x.ndim:
        return total(x, dtype=dtype)
    return in_inner(lambda b: sums.cumsum(b, b, dim), x, dtype or _real(x))


@rule("cumprod")
def cumprod(x: Any, dim: int, *, dtype: Any = None) -> Any:
    """Products of the first 1, 2, ... n numbers"""
    if not x.ndim:
        return product(x, dtype=dtype)

    def of(b: Any) -> Any:
        sizes = np.abs(b.value).astype(np.float64)
        value = b.value.cumprod(dim)
        size, reach = sizes.cumprod(dim), (sizes + b.error).cumprod(dim)
        steps = np.arange(b.shape[dim]).reshape((-1,) + (1,) * (b.ndim - 1 - dim % b.ndim))
        some = steps * (b.inner_u * reach + b.tiny * np.maximum(reach, 1.0) * (size > 0))
        return b.like(value, np.asarray(reach - size + some))

    return in_inner(of, x, dtype or _real(x))


@rule("amax")
def amax(x: Any, dim: Any = (), keepdim: bool = False) -> Any:
    """The greatest number"""
    b = lifted(x, _real(x))
    return tensor_of(truths.greatest(b, b, axes_of(x, dim), keepdim), x.dtype)


@rule("amin")
def amin(x: Any, dim: Any = (), keepdim: bool = False) -> Any:
    """The least number"""
    b = lifted(x, _real(x))
    return tensor_of(truths.least(b, b, axes_of(x, dim), keepdim), x.dtype)


@rule("aminmax")
def aminmax(x: Any, *, dim: Any = None, keepdim: bool = False) -> Any:
    """The least number and the greatest"""
    return amin(x, dim, keepdim), amax(x, dim, keepdim)


@rule("linalg_vector_norm")
def vector_norm(
    x: Any,
    ord: Any = 2,  # noqa: A002
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Any:
    """(sum |x|^p)^(1/p), with p = inf: max |x|, p = -inf: min |x|, p = 0: how many are not 0"""
    axes, p = axes_of(x, dim), float(ord)

    def of(b: Any) -> Any:
        if p == 2:
            return np.sqrt(sums.total(b, b * b, axes, keepdim))
        size = np.absolute(b)
        if abs(p) == float("inf"):
            return (truths.greatest if p > 0 else truths.least)(b, size, axes, keepdim)
        if p == 1:
            return sums.total(b, size, axes, keepdim)
        if p == 0:
            some = np.not_equal(b, b.lift(0.0))
            some = some if isinstance(some, Bounded) else b.lift(np.asarray(some, float))
            return sums.total(b, some, axes, keepdim)
        return np.power(sums.total(b, np.power(size, p), axes, keepdim), 1 / p)

    return in_inner(of, x, dtype or _real(x))


@rule("norm")
def norm(x: Any, p: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The same, where no p is 2"""
    return vector_norm(x, 2 if p is None else p, dim, keepdim, dtype=dtype)
