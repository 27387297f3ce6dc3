"""Bounded tensors compared: equal up to rounding, a constant factor, a permutation."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch

from torch_parity.compare.aten.index import ordered
from torch_parity.compare.aten.memory import numpy_dtype
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.tensors import BoundedTensor, Unbounded

# What is known to no more than this share of its size shows nothing.
SHARP = 1e-6


def bounded(tensor: Any) -> BoundedTensor | None:
    """The tensor, if it is one of real numbers."""
    if isinstance(tensor, BoundedTensor):
        return tensor
    if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
        return BoundedTensor.exact(tensor)
    return None


def computed(formula: Callable[[], Any]) -> BoundedTensor | None:
    """What a formula of bounded tensors gives; None where it cannot be computed."""
    try:
        with torch.no_grad():
            return bounded(formula())
    except (Unbounded, NotImplementedError, RuntimeError, TypeError, ValueError, IndexError):
        return None


def value_of(x: BoundedTensor) -> np.ndarray:
    """The numbers, without their errors."""
    return np.asarray(x.bounded.value)


def error_of(x: BoundedTensor) -> np.ndarray:
    """The bounds."""
    return np.asarray(x.bounded.error)


def is_sharp(x: BoundedTensor) -> bool:
    """Known well enough to prove something."""
    value, error = value_of(x), error_of(x)
    finite = np.isfinite(value)
    if not finite.any():
        return False
    largest = float(np.abs(value[finite]).max())
    return largest > 0 and float(error[finite].max()) <= SHARP * largest


def is_constant(x: BoundedTensor) -> bool:
    """All entries are the same number: nothing can be told from it. (A single number can.)"""
    value = value_of(x)
    return value.size > 1 and bool((value == value.flat[0]).all())


def numbers_fit(
    first: np.ndarray, first_error: np.ndarray, second: np.ndarray, second_error: np.ndarray
) -> bool:
    """Each entry of the one lies within both bounds of the other's, and these are sharp."""
    if np.array_equal(first, second, equal_nan=True):
        return True
    finite = np.isfinite(second)
    largest = float(np.abs(second[finite]).max(initial=0.0))
    reach = float(first_error[finite].max(initial=0.0) + second_error[finite].max(initial=0.0))
    if not reach <= SHARP * largest:
        return False
    with np.errstate(all="ignore"):
        same = (first == second) | (np.isnan(first) & np.isnan(second))
        near = np.abs(first - second) <= first_error + second_error
    return bool((same | near).all())


def fits(x: BoundedTensor, y: BoundedTensor) -> bool:
    """The same shape, and the same numbers up to rounding."""
    if tuple(x.shape) != tuple(y.shape) or not x.numel():
        return False
    return numbers_fit(value_of(x), error_of(x), value_of(y), error_of(y))


def fits_somehow(x: BoundedTensor, y: BoundedTensor) -> bool:
    """The same numbers up to rounding, with the dimensions of y in some order."""
    value, error = value_of(x), error_of(x)
    if value.size != y.numel() or not value.size:
        return False
    if not _same_multiset(x, y):
        return False
    orders = zip(ordered(value_of(y), value.shape), ordered(error_of(y), value.shape), strict=True)
    return any(numbers_fit(value, error, number, bound) for (_, number), (_, bound) in orders)


def _same_multiset(x: BoundedTensor, y: BoundedTensor) -> bool:
    first, second = np.sort(value_of(x), axis=None), np.sort(value_of(y), axis=None)
    with np.errstate(all="ignore"):
        gap = np.abs(first - second)
    allowed = float(error_of(x).max(initial=0.0)) + float(error_of(y).max(initial=0.0))
    return bool((gap[np.isfinite(gap)] <= allowed).all())


def reshaped(x: BoundedTensor, shape: Sequence[int]) -> BoundedTensor | None:
    """The same entries in the same order."""
    if tuple(x.shape) == tuple(shape):
        return x
    return computed(lambda: x.reshape(tuple(shape)))


def negated(x: BoundedTensor) -> BoundedTensor | None:
    """-x"""
    return computed(lambda: -x)


def factor(y: BoundedTensor, v: BoundedTensor) -> tuple[float, float] | None:
    """The c with y = c v in every entry: the interval that all entries allow. None if there is
    none, or the entries are too few or too vague to show one."""
    if tuple(y.shape) != tuple(v.shape):
        return None
    top, bottom = value_of(y).reshape(-1), value_of(v).reshape(-1)
    top_error, bottom_error = error_of(y).reshape(-1), error_of(v).reshape(-1)
    if not (np.isfinite(top).all() and np.isfinite(bottom).all()):
        same = (top == bottom) | (np.isnan(top) & np.isnan(bottom))
        finite = np.isfinite(top) & np.isfinite(bottom)
        if not (same | finite).all():
            return None
        top, bottom = top[finite], bottom[finite]
        top_error, bottom_error = top_error[finite], bottom_error[finite]
    clear = np.abs(bottom) > 4 * bottom_error
    if (
        not clear.any()
        or (np.abs(top[~clear]) > top_error[~clear] + 1e3 * bottom_error[~clear]).any()
    ):
        return None
    top, bottom = top[clear], bottom[clear]
    middle = top / bottom
    reach = (top_error[clear] + np.abs(middle) * bottom_error[clear]) / (
        np.abs(bottom) - bottom_error[clear]
    )
    low, high = float((middle - reach).max()), float((middle + reach).min())
    size = abs(low + high) / 2
    if not low <= high or not high - low <= SHARP * size or not size:
        return None
    return low, high


def named_factor(interval: tuple[float, float], known: Iterable[tuple[str, float]]) -> str | None:
    """The first of some known factors that lies in the interval."""
    low, high = interval
    slack = 2e-15 * max(abs(low), abs(high))
    for name, number in known:
        if low - slack <= number <= high + slack:
            return name
    return None


def factor_at(y: BoundedTensor, v: BoundedTensor, at: np.ndarray) -> float | None:
    """The c with y = c v in these entries, if there is one."""
    parts = [with_error(value_of(t)[at], error_of(t)[at], t.dtype) for t in (y, v)]
    found = factor(*parts)
    return None if found is None else middle(found)


def middle(interval: tuple[float, float]) -> float:
    """The factor."""
    return (interval[0] + interval[1]) / 2


def with_error(value: np.ndarray, error: np.ndarray | float, like: torch.dtype) -> BoundedTensor:
    """Numbers with bounds of their own."""
    errors = np.broadcast_to(np.asarray(error, np.float64), value.shape).copy()
    return BoundedTensor(Bounded(value, errors, numpy_dtype(like)), like)
