"""A hand-written function followed through its steps in NumPy, and the way back along them.

Only the forward is run, never a hand-written backward. A step whose slopes are not
known raises, so that no share of a derivative is lost. Numbers that a forward reads through .real,
or compares, count as constants, as they do for a complex step.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from torch_parity.manual.gradients.elementary import (
    Step,
    arranged,
    constant,
    einsum,
    go_back,
    of_ufunc,
    summed,
)
from torch_parity.manual.gradients.tangents import DEVIATIONS, KINK, SMALLEST, Uncertain

COMPARISONS = (
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal, np.isfinite,
)  # fmt: skip
MOVES = (
    np.transpose, np.reshape, np.expand_dims, np.squeeze, np.moveaxis, np.swapaxes, np.broadcast_to,
    np.split, np.take, np.copy,
)  # fmt: skip
CONSTANTS = (np.zeros_like, np.ones_like, np.empty_like)


class Followed(NDArrayOperatorsMixin):
    """Replaces an array while a function of it is followed; it holds the step that made it.
    A write into it is a step too."""

    def __init__(self, step: Step) -> None:
        self.step = step

    @property
    def real(self) -> np.ndarray:
        """The numbers, for comparisons: constants."""
        return self.step.value

    @property
    def shape(self) -> tuple[int, ...]:
        """The same as of an array."""
        return self.step.value.shape

    @property
    def ndim(self) -> int:
        """The same as of an array."""
        return self.step.value.ndim

    @property
    def size(self) -> int:
        """The same as of an array."""
        return self.step.value.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """The same as of an array."""
        return self.step.value.dtype

    @property
    def T(self) -> "Followed":
        """The same as of an array."""
        return self._arranged(lambda a: a.T)

    @property
    def mT(self) -> "Followed":
        """The same as of an array."""
        return self._arranged(lambda a: a.mT)

    def reshape(self, *shape: Any) -> "Followed":
        """The same as of an array."""
        return self._arranged(lambda a: a.reshape(*shape))

    def transpose(self, *axes: Any) -> "Followed":
        """The same as of an array."""
        return self._arranged(lambda a: a.transpose(*axes))

    def copy(self) -> "Followed":
        """The same numbers; a write into one does not change the other."""
        return Followed(self.step)

    def sum(self, axis: Any = None, keepdims: bool = False) -> "Followed":
        """The same as of an array."""
        return Followed(summed(self.step, axis, keepdims))

    def mean(self, axis: Any = None, keepdims: bool = False) -> "Followed":
        """The same as of an array."""
        total = self.sum(axis, keepdims)
        found: Followed = total / (self.size // max(total.size, 1))
        return found

    def max(self, axis: Any = None, keepdims: bool = False) -> "Followed":
        """The same as of an array, where one entry is the greatest beyond doubt: at ties it has two
        slopes."""
        value = self.step.value
        whole = value.max(axis=axis, keepdims=True)
        greatest = value >= whole - KINK * np.abs(whole)
        if np.any(greatest.sum(axis=axis) != 1):
            raise TypeError("it takes the maximum of entries that are alike")
        found: Followed = self * greatest
        return found.sum(axis, keepdims)

    def __len__(self) -> int:
        return len(self.step.value)

    def __bool__(self) -> bool:
        raise TypeError("it uses the truth value of its input")

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("it converts its input to a plain array")

    def __getitem__(self, index: Any) -> "Followed":
        return self._arranged(lambda a: a[index])

    def __setitem__(self, index: Any, value: Any) -> None:
        def written(own: np.ndarray, new: np.ndarray) -> np.ndarray:
            own[index] = new
            return own

        self.step = self._arranged(written, value).step

    def _arranged(self, arrange: Callable[..., Any], *others: Any) -> Any:
        made = arranged(arrange, [_step(x) for x in (self, *others)])
        return [Followed(s) for s in made] if isinstance(made, list) else Followed(made)

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any
    ) -> Any:
        if method != "__call__" or options:
            raise TypeError(f"numpy.{ufunc.__name__}.{method} {[*options]} has no rule")
        if ufunc in COMPARISONS:
            return ufunc(*(_step(x).value for x in inputs))
        made = Followed(of_ufunc(ufunc, [_step(x) for x in inputs]))
        if out is None:
            return made
        (written,) = out  # in place
        written.step = made.step
        return written

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function in CONSTANTS:
            return Followed(constant(function(self.step.value, *args[1:], **options)))
        if function in MOVES:
            return self._arranged(lambda a: function(a, *args[1:], **options))
        if function in (np.sum, np.mean, np.max):
            return getattr(self, function.__name__)(*args[1:], **options)
        if function in (np.concatenate, np.stack):
            return Followed(
                arranged(lambda *a: function(a, *args[1:], **options), [*map(_step, args[0])])
            )
        if function is np.einsum and not options:
            return Followed(einsum(args[0], [*map(_step, args[1:])]))
        if function is np.where and len(args) == 3:
            return Followed(arranged(lambda a, b: np.where(args[0], a, b), [*map(_step, args[1:])]))
        raise TypeError(f"numpy.{function.__name__} has no rule")


def _step(x: Any) -> Step:
    return x.step if isinstance(x, Followed) else constant(x)


class FollowedRun:
    """A run of a function, followed from those of its inputs that are derived."""

    def __init__(
        self,
        forward: Callable[..., Any],
        inputs: Sequence[np.ndarray],
        variances: Mapping[int, np.ndarray],
    ) -> None:
        """variances holds those of the rounding of the inputs to follow, by their position.

        Raises:
            ValueError: the function does something whose slopes are not known.
        """
        self.inputs = {i: Step(inputs[i], v, derived=True) for i, v in variances.items()}
        given = [Followed(self.inputs[i]) if i in self.inputs else x for i, x in enumerate(inputs)]
        try:
            made = forward(*given)
        except Exception as error:  # what it raises where it is given no array
            raise ValueError(f"its steps in NumPy cannot be followed ({error})") from None
        self.outputs = [_step(x) for x in _as_tuple(made)]
        for step, right in zip(self.outputs, _as_tuple(forward(*inputs)), strict=True):
            _require_same(step, right)

    def back(self, arriving: Sequence[Uncertain | None]) -> dict[int, Uncertain]:
        """From the gradients of the outputs those of the inputs, by their position."""
        for step, gradient in zip(self.outputs, arriving, strict=True):
            if gradient is not None:
                step.arrive(gradient)
        go_back(self.outputs)
        return {i: s.arrived for i, s in self.inputs.items() if s.arrived is not None}


def _as_tuple(made: Any) -> tuple[Any, ...]:
    return made if isinstance(made, tuple) else (made,)


def _require_same(step: Step, right: np.ndarray) -> None:
    """A write that was not seen, through a view, shows here: another number comes out."""
    reach = DEVIATIONS * np.sqrt(step.variance) + SMALLEST
    if not np.all((step.value == right) | (np.abs(step.value - right) <= reach)):
        raise ValueError("its steps in NumPy, followed one by one, give different numbers")
