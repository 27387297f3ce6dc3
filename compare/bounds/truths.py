"""Comparisons, conditions and choices: what rounding may decide either way is carried as 1 or 0
with an error of 1."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from torch_parity.compare.bounds.rules import size_of

if TYPE_CHECKING:
    from torch_parity.compare.bounds.bounded import Bounded

COMPARISONS = {np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal}
TESTS = {np.isfinite, np.isnan, np.isinf}
AND = {np.logical_and, np.bitwise_and}
OR = {np.logical_or, np.bitwise_or}
NOT = {np.logical_not, np.invert}
LOGIC = AND | OR | NOT

Axis = int | tuple[int, ...] | None


def compared(ufunc: np.ufunc, x: "Bounded", y: "Bounded") -> Any:
    """True or false; undecided where the two are no further apart than their errors reach."""
    reach = x.error + y.error
    undecided = (reach > 0) & ~(np.abs(x.value - y.value) > reach)
    return truth(x, ufunc(x.value, y.value), undecided)


def tested(ufunc: np.ufunc, x: "Bounded") -> Any:
    """isnan and the like; undecided where x may be anything."""
    return truth(x, ufunc(x.value), ~np.isfinite(x.error))


def combined(ufunc: np.ufunc, *operands: "Bounded") -> Any:
    """and, or, not."""
    sides = [sides_of(x) for x in operands]
    if ufunc in NOT:
        ((yes, no),) = sides
        return _of_sides(operands[0], no, yes)
    (yes_x, no_x), (yes_y, no_y) = sides
    if ufunc in AND:
        return _of_sides(operands[0], yes_x & yes_y, no_x | no_y)
    return _of_sides(operands[0], yes_x | yes_y, no_x & no_y)


def sides_of(x: "Bounded") -> tuple[np.ndarray, np.ndarray]:
    """Where x is surely not 0, and where it surely is."""
    return np.asarray(size_of(x.value) > x.error), np.asarray((x.value == 0) & (x.error == 0))


def _of_sides(b: "Bounded", yes: Any, no: Any) -> Any:
    return truth(b, yes, ~(yes | no))


def truth(b: "Bounded", decided: Any, undecided: Any) -> Any:
    """Plain booleans where nothing is undecided."""
    if not np.any(undecided):
        return decided
    return b.like(np.asarray(decided, b.value.dtype), np.asarray(undecided, np.float64))


def any_of(b: "Bounded", x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """np.any"""
    yes, no = sides_of(b.lift(x))
    return _of_sides(b, np.any(yes, axis, keepdims=keepdims), np.all(no, axis, keepdims=keepdims))


def all_of(b: "Bounded", x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """np.all"""
    yes, no = sides_of(b.lift(x))
    return _of_sides(b, np.all(yes, axis, keepdims=keepdims), np.any(no, axis, keepdims=keepdims))


def where(b: "Bounded", condition: Any, x: Any, y: Any) -> "Bounded":
    """x or y; where the condition is undecided, as far from the one as the other may be."""
    x, y = b.lift(x), b.lift(y)
    undecided = np.asarray(False)
    chosen = condition
    if hasattr(condition, "judged"):
        yes, no = sides_of(condition)
        chosen, undecided = condition.value != 0, ~(yes | no)
    value = np.where(chosen, x.value, y.value)
    error = np.where(chosen, x.error, y.error)
    if undecided.any():
        apart = np.where(x.value == y.value, 0.0, size_of(x.value - y.value))
        error = np.where(undecided, np.maximum(x.error, y.error) + apart, error)
    return b.like(value, error)


def chosen_by(condition: Any) -> np.ndarray:
    """A condition as plain booleans.

    Raises:
        NotImplementedError: rounding may decide it either way.
    """
    yes, no = sides_of(condition)
    if not (yes | no).all():
        raise NotImplementedError(
            "rounding may decide this condition either way, so what it selects has no bound; "
            "np.where(condition, x, y) has one"
        )
    return yes


def clip(b: "Bounded", x: Any, a_min: Any = None, a_max: Any = None, **given: Any) -> Any:
    """min(max(x, a_min), a_max), as np.clip"""
    low, high = given.pop("min", a_min), given.pop("max", a_max)
    if given:
        raise NotImplementedError(f"np.clip with {', '.join(given)} has no rounding bound")
    x = b.lift(x)
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def greatest(b: "Bounded", x: Any, axis: Axis = None, keepdims: bool = False) -> "Bounded":
    """max: rounds nothing, and moves no further than one that may be the greatest."""
    x = b.lift(x)
    value = np.asarray(x.value.max(axis, keepdims=keepdims))
    if not x.error.any():
        return b.like(value, np.zeros(value.shape))
    low = (x.value - x.error).max(axis, keepdims=True)
    candidates = ~(x.value + x.error < low)  # a NaN is one
    error = np.where(candidates, x.error, 0.0).max(axis, keepdims=keepdims)
    return b.like(value, np.asarray(error))


def least(b: "Bounded", x: Any, axis: Axis = None, keepdims: bool = False) -> "Bounded":
    """min(x) = -max(-x)"""
    return -greatest(b, -b.lift(x), axis, keepdims)


def _place(function: Callable[..., Any]) -> Callable[..., Any]:
    def place(b: "Bounded", x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
        """Where the greatest or least number is."""
        x = b.lift(x)
        if x.error.any():
            raise NotImplementedError(
                f"np.{function.__name__} of rounded numbers: rounding may decide which is first"
            )
        return function(x.value, axis, keepdims=keepdims)

    return place


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.any: any_of,
    np.all: all_of,
    np.where: where,
    np.clip: clip,
    np.max: greatest,
    np.min: least,
    np.amax: greatest,
    np.amin: least,
    np.argmax: _place(np.argmax),
    np.argmin: _place(np.argmin),
}
