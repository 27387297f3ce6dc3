"""Sums, in whatever order, and what is made of them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from torch_parity.compare.bounds.rules import size_of
from torch_parity.compare.bounds.truths import greatest

if TYPE_CHECKING:
    from torch_parity.compare.bounds.bounded import Bounded

Axis = int | tuple[int, ...] | None


def total(b: "Bounded", x: Any, axis: Axis = None, keepdims: bool = False) -> "Bounded":
    """n numbers added up, in whatever order.

    All of them, a loss: in the precision that is judged, as torch's nll_loss does. Along axes: in
    the one it is computed in.
    """
    x = b.lift(x)
    whole = axis is None
    u, eps = (x.u, x.eps) if whole else (x.inner_u, x.inner.eps)
    value = np.asarray(x.value.sum(axis, keepdims=keepdims))
    n = x.size // max(value.size, 1)
    carried = np.asarray(x.error.sum(axis, keepdims=keepdims))
    drift: float | np.ndarray = 0.0
    if x.doubt is not None and n > 1:
        drift = x.drift(_terms(x.value, axis), eps).reshape(value.shape)
    units = x.sum_units(n - 1, drift, u)
    sizes = np.abs(x.value).sum(axis, keepdims=keepdims).astype(np.float64)
    error = carried + units * (sizes + carried)
    if not whole:
        # log_softmax rounds log(sum), which is log n at most: as much, relative to the sum itself
        error = error + x.rounded_once(value, 1 + np.log(n) if x.exponential and n else 1.0)
    certain = np.isinf(value) & np.isfinite(carried)
    result = x.like(value, np.where(certain, 0.0, error))
    result.begun = 0.0 if whole else units
    return result


def _terms(x: np.ndarray, axis: Axis) -> np.ndarray:
    """The terms of each sum along axis 0."""
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis).tolist()
    first = np.moveaxis(x, axes, range(len(axes)))
    return first.reshape(np.prod(first.shape[: len(axes)], dtype=int), -1).astype(np.float64)


def _counted(x: "Bounded", axis: Axis) -> int:
    return int(
        np.prod([x.shape[i] for i in (range(x.ndim) if axis is None else np.atleast_1d(axis))])
    )


def mean(b: "Bounded", x: Any, axis: Axis = None, keepdims: bool = False) -> "Bounded":
    """sum / n"""
    x = b.lift(x)
    return total(b, x, axis, keepdims) / _counted(x, axis)


def var(
    b: "Bounded",
    x: Any,
    axis: Axis = None,
    ddof: int = 0,
    keepdims: bool = False,
    *,
    correction: int | None = None,
) -> "Bounded":
    """sum (x - mean)^2 / (n - ddof)

    Welford's update rounds at the size of the mean times the deviation, as this does.
    """
    x = b.lift(x)
    off = x - mean(b, x, axis, keepdims=True)
    left = _counted(x, axis) - (ddof if correction is None else correction)
    return total(b, off * off, axis, keepdims) / left


def std(b: "Bounded", x: Any, *args: Any, **options: Any) -> Any:
    """The root of the variance."""
    return np.sqrt(var(b, x, *args, **options))


def norm(
    b: "Bounded",
    x: Any,
    ord: Any = None,  # noqa: A002
    axis: Any = None,
    keepdims: bool = False,
) -> Any:
    """sqrt(sum x^2), or with ord 1 and inf of vectors: sum |x| and max |x|"""
    x = b.lift(x)
    vectors = isinstance(axis, int) or (axis is None and x.ndim == 1)
    if ord is None or (ord == 2 and vectors) or (ord == "fro" and not vectors):
        return np.sqrt(total(b, x * x, axis, keepdims))
    if ord in (1, np.inf) and vectors:
        return (total if ord == 1 else greatest)(b, abs(x), axis, keepdims)
    raise NotImplementedError(f"np.linalg.norm with ord={ord!r} has no rounding bound")


def cumsum(b: "Bounded", x: Any, axis: int | None = None) -> "Bounded":
    """Sums of the first 1, 2, ... n numbers, each one walk; if in doubt, as far as it may drift."""
    x = b.lift(x)
    x = x.reshape(-1) if axis is None else x
    along = 0 if axis is None else axis
    steps = np.arange(x.shape[along]).reshape((-1,) + (1,) * (x.ndim - 1 - along % x.ndim))
    units = x.sum_units(steps, 0.0 if x.doubt is None else np.inf, x.u)
    carried = x.error.cumsum(along)
    sizes = size_of(x.value).cumsum(along)
    return x.like(x.value.cumsum(along), carried + units * (sizes + carried))


def product(b: "Bounded", x: Any, axis: Axis = None, keepdims: bool = False) -> "Bounded":
    """n numbers multiplied, in whatever order: n - 1 roundings, and the errors of all factors

    prod(|x| + e) - prod |x|
    """
    x = b.lift(x)
    value = np.asarray(x.value.prod(axis, keepdims=keepdims))
    sizes = size_of(x.value)
    size, reach = (np.asarray(y.prod(axis, keepdims=keepdims)) for y in (sizes, sizes + x.error))
    n = x.size // max(value.size, 1)
    carried = np.where(x.error.sum(axis, keepdims=keepdims) > 0, reach - size, 0.0)
    # each factor below 1 makes less of what underflows
    lost = max(n - 1, 0) * x.inner.tiny * np.maximum(reach, 1.0) * (size > 0)
    error = carried + max(n - 1, 0) * x.inner_u * reach + lost
    return x.like(value, np.asarray(error + x.rounded_once(value)))


def scattered(terms: "Bounded", places: np.ndarray, size: int, start: Any = None) -> "Bounded":
    """Sums of terms by their place: entry i adds up all that are placed at i, to start if given.

    Both terms and places are of one axis; a place below 0 drops its term.
    """
    kept = places >= 0
    at = places if kept.all() else places[kept]
    value, error = (
        (terms.value, terms.error) if kept.all() else (terms.value[kept], terms.error[kept])
    )
    sizes = size_of(value)
    counts = np.bincount(at, minlength=size)
    summed_sizes = np.bincount(at, sizes, size)
    carried = np.bincount(at, error, size) if error.any() else np.zeros(size)
    if value.dtype == np.float64:
        total_value = np.bincount(at, value, size)
    else:
        total_value = np.zeros(size, value.dtype)
        np.add.at(total_value, at, value)
    if start is not None:
        total_value = total_value + start.value
        summed_sizes = summed_sizes + size_of(start.value)
        carried = carried + start.error
        counts = counts + 1
    units = terms.sum_units(counts - 1, 0.0 if terms.doubt is None else np.inf, terms.inner_u)
    error = carried + units * (summed_sizes + carried)
    some = terms.rounded_once(total_value) * ((total_value != 0) | (error > 0))
    return terms.like(total_value, np.asarray(error + some))


def add_at(b: "Bounded", target: Any, index: Any, terms: Any, sign: int = 1) -> None:
    """target[index] += terms, with an index that may come more than once: each place sums its own.

    Every step rounds to the precision that is judged.
    """
    b.require_bounded("add.at", target)
    terms = b.lift(terms)
    sizes, steps = size_of(target.value), np.zeros(target.shape)
    np.add.at(sizes, index, size_of(terms.value))
    np.add.at(steps, index, 1.0)
    np.add.at(target.value, index, sign * terms.value)
    np.add.at(target.error, index, terms.error)
    units = b.sum_units(steps, 0.0 if b.doubt is None else np.inf, b.u)
    target.error += units * (sizes + target.error)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.sum: total,
    np.mean: mean,
    np.var: var,
    np.std: std,
    np.cumsum: cumsum,
    np.prod: product,
    np.linalg.norm: norm,
}
