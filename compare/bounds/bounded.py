"""Bounds that derive themselves: run any hand-written function on Bounded numbers, and out comes
what a computer with unit roundoff u may have got instead.

This is running error analysis (Higham, Accuracy and Stability of Numerical Algorithms, 3.3): each
number carries its value, in higher precision, and a bound on how far a computation in the judged
precision may be off. Every operation adds what its inputs bring along, and its own rounding.

No function has to be told its bound, so a new operation costs none. The rules stand beside this
file: rules.py for functions of numbers, truths.py, sums.py, products.py, layout.py. A function that
has no rule is refused, and so is whatever would make a plain array of the numbers and lose their
bounds.
"""

import operator
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NoReturn, Self

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from torch_parity.compare.bounds import layout, products, sums, truths
from torch_parity.compare.bounds.functions import rule_of
from torch_parity.compare.bounds.precise import higher
from torch_parity.compare.bounds.precision import LOWER, is_real, precision, rounded
from torch_parity.compare.bounds.rules import error_of, size_of
from torch_parity.compare.bounds.sum_drift import drift_of

# The same formula in another order rounds elsewhere: torch takes exp(log_softmax) where the hand
# takes softmax. Every rounding is therefore allowed for twice.
VARIANTS = 2

FUNCTIONS = layout.FUNCTIONS | sums.FUNCTIONS | products.FUNCTIONS | truths.FUNCTIONS
# x.mean() is np.mean(x)
METHODS = {
    "all", "any", "argmax", "argmin", "clip", "cumsum", "diagonal", "dot", "max", "mean", "min",
    "ravel", "repeat", "squeeze", "std", "sum", "swapaxes", "take", "var",
}  # fmt: skip
# ufunc.reduce(x, axis), which takes axis 0 unless told otherwise
REDUCTIONS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: sums.total,
    np.maximum: truths.greatest,
    np.minimum: truths.least,
    np.logical_and: truths.all_of,
    np.logical_or: truths.any_of,
}
SIGNS = {np.add: 1, np.subtract: -1}  # of ufunc.at


def _in_place(operation: Callable[[Any, Any], Any], ufunc: np.ufunc) -> Callable[[Any, Any], Any]:
    """x += y writes into x; a number alone is replaced, as NumPy's are."""

    def write(x: Any, y: Any) -> Any:
        return ufunc(x, y, out=(x,)) if x.ndim else operation(x, y)

    return write


class Bounded(NDArrayOperatorsMixin):
    """value +- error, entry by entry; u is the unit roundoff of the precision that is judged
    (VARIANTS times, and a little), inner_u that of the precision it is computed in: a half is
    computed in float32 and rounded once, when the operation is done.

    The n roundings of a sum point either way, so they add up like a random walk to
    4 (sqrt(n) + 1) u sum|x|, or to (n + 4) u sum|x| where that is less. Terms that are alike round
    alike, though, and then the walk drifts (Higham and Mary 2019 show it on constant terms):
    entries in doubt are looked at again with the drift that their terms have. doubt says which: of
    a product's entries 1 is given the drift of its terms, and 2 the n + 4 at once, which is no less
    and costs nothing. Where doubt does not say it of these very sums, all are given the n + 4.
    """

    # what the sum just taken rounds away per unit that is added next: it may be one more term of it
    begun: float | np.ndarray = 0.0
    # of e^x: what adds these up may do so through the logarithm
    exponential = False

    def __init__(
        self,
        value: np.ndarray,
        error: np.ndarray,
        dtype: np.dtype,
        doubt: np.ndarray | None = None,
        units: tuple[float, float, float] | None = None,
    ) -> None:
        self.value, self.error, self.judged, self.doubt = value, error, dtype, doubt
        own = precision(dtype)
        self.eps, self.inner = own.eps, precision(own.inner)
        # what the higher precision itself rounds away counts too: nothing for float32, a
        # two-thousandth where long double has 64 bits, as much again where it is a plain double
        here = float(np.finfo(value.dtype).eps / 2)
        u, inner_u = (VARIANTS * (p.eps / 2 + here) for p in (own, self.inner))
        self.u, self.inner_u, self.tiny = units or (u, inner_u, own.tiny)

    @classmethod
    def exact(cls, recorded: np.ndarray, doubt: np.ndarray | None = None) -> Self:
        """A recorded tensor, which is what it is."""
        value = recorded.astype(higher(recorded.dtype))
        return cls(value, np.zeros(value.shape), recorded.dtype, doubt)

    @property
    def dtype(self) -> np.dtype:
        """The precision that is judged."""
        return self.judged

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the value."""
        return self.value.shape

    @property
    def ndim(self) -> int:
        """Of the value."""
        return self.value.ndim

    @property
    def size(self) -> int:
        """Of the value."""
        return self.value.size

    @property
    def real(self) -> Self:
        """Itself: complex numbers are for derivatives, not for bounds."""
        return self

    @property
    def T(self) -> Any:
        """Transposed."""
        return layout.moved(self, lambda a: a.T)

    @property
    def mT(self) -> Any:
        """Its last two axes transposed."""
        return layout.moved(self, lambda a: a.mT)

    def reshape(self, *shape: Any) -> Any:
        """In another shape."""
        return layout.moved(self, lambda a: a.reshape(*shape))

    def transpose(self, *axes: Any) -> Any:
        """With its axes in another order."""
        return layout.moved(self, lambda a: a.transpose(*axes))

    def flatten(self) -> Any:
        """One axis, in memory of its own."""
        return self.reshape(-1).copy()

    def copy(self) -> Self:
        """In memory of its own."""
        return self.like(self.value.copy(), self.error.copy())

    def astype(self, dtype: Any, copy: bool = True) -> Self:
        """Itself, as it is judged by one precision; 1 and 0 are the same in all."""
        if not (np.dtype(dtype) == np.dtype(float) and np.isin(self.value, (0, 1)).all()):
            self.require_judged(dtype)
        return self.copy() if copy else self

    def fill(self, number: Any) -> None:
        """The same number everywhere."""
        self[...] = number

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        at = _plain(index)
        return layout.moved(self, lambda a: np.asarray(a[at]))

    def __setitem__(self, index: Any, item: Any) -> None:
        item = self.lift(item)
        if isinstance(index, Bounded) and index.shape == self.shape and item.ndim == 0:
            item, index = truths.where(self, index, item, self), ...  # undecided, maybe
        index = _plain(index)
        self.value[index], self.error[index] = item.value, item.error

    def __getattr__(self, name: str) -> Any:
        if name in METHODS:
            return partial(getattr(np, name), self)
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"Bounded has no {name}")
        raise NotImplementedError(f"ndarray.{name} has no rounding bound")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        if method == "reduce" and ufunc in REDUCTIONS:
            axis = inputs[1] if len(inputs) > 1 else options.pop("axis", 0)
            return _called(REDUCTIONS[ufunc], name, self, inputs[0], axis, **options)
        if method == "at" and ufunc in SIGNS:
            target, index, terms = inputs
            return sums.add_at(self, target, index, terms, SIGNS[ufunc])
        if method == "outer" and ufunc.nin == 2:
            x, y = (self.lift(x) for x in inputs)
            return ufunc(x.reshape(x.shape + (1,) * y.ndim), y, **options)
        into = options.pop("out", None)  # dz -= 1 asks for its result in place
        if method != "__call__" or options:
            raise NotImplementedError(f"np.{' with '.join([name, *options])} has no rounding bound")
        result = self._computed(ufunc, name, [self.lift(x) for x in inputs])
        if into is None:
            return result
        self.require_bounded(name, into[0])
        into[0][...] = result
        return into[0]

    def _computed(self, ufunc: np.ufunc, name: str, operands: "list[Bounded]") -> Any:
        """A function of numbers, entry by entry, or a product."""
        rule = rule_of(ufunc)
        with np.errstate(all="ignore"):
            if rule is not None:
                value, operands = _valued(ufunc, operands)
                result = self.like(value, error_of(self, rule, value, operands))
                result.exponential = ufunc is np.exp
                return result
            if ufunc in truths.COMPARISONS:
                return truths.compared(ufunc, *operands)
            if ufunc in truths.TESTS:
                return truths.tested(ufunc, *operands)
            if ufunc in truths.LOGIC:
                return truths.combined(ufunc, *operands)
            if ufunc is np.matmul:
                return products.matmul(*(self.like(x.value, x.error) for x in operands))
        raise NotImplementedError(f"{name} has no rounding bound")

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        rule = FUNCTIONS.get(function)
        name = f"{function.__module__}.{function.__name__}".replace("numpy", "np")
        if rule is None:
            raise NotImplementedError(f"{name} has no rounding bound")
        with np.errstate(all="ignore"):
            return _called(rule, name, self, *args, **kwargs)

    def _lost(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError(
            "a plain array or number would lose the rounding bound that this one carries; where an "
            "array has to be made first and written into, make it by np.zeros_like(x, shape=...)"
        )

    __array__ = __float__ = __int__ = __complex__ = __index__ = _lost
    item = tolist = tobytes = dump = _lost

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError("the truth of more than one number is ambiguous; use any() or all()")
        return bool(truths.chosen_by(self).item())

    __hash__ = None  # type: ignore[assignment]
    __iadd__ = _in_place(operator.add, np.add)
    __isub__ = _in_place(operator.sub, np.subtract)
    __imul__ = _in_place(operator.mul, np.multiply)
    __itruediv__ = _in_place(operator.truediv, np.divide)
    __ipow__ = _in_place(operator.pow, np.power)

    def drift(self, terms: np.ndarray, eps: float) -> np.ndarray:
        """How far the sums of terms over axis 0 drift."""
        return drift_of(terms.astype(np.float64), eps)

    def sum_units(self, n: Any, drift: Any, u: float) -> Any:
        """The error of a sum of n more terms, per unit of their size."""
        return np.where(np.asarray(n) > 0, np.minimum(4 * (np.sqrt(n) + 1) + drift, n + 4) * u, 0.0)

    def rounded_once(self, value: np.ndarray, units: float = 1.0) -> Any:
        """What is lost when a sum leaves the precision that it was computed in, if it does."""
        if self.u == self.inner_u:
            return 0.0
        return units * (self.u * size_of(value) + self.tiny)

    def lowered(self, to: str) -> Self:
        """The same number rounded to a lower precision, which all that follows is judged by."""
        lower = precision(LOWER[to])
        u = VARIANTS * lower.eps / 2
        lost = u * size_of(self.value) + lower.tiny * (self.value != 0)
        units = (u, u, max(lower.tiny, self.tiny))
        return type(self)(self.value, self.error + lost, self.judged, self.doubt, units)

    def cut(self, to: str) -> Self:
        """The same number with the digits that a lower precision has for it, and judged as before:
        they are known exactly, unless the two ends of what it may be are cut to different ones."""
        value = rounded(self.value, to)
        ends = (rounded(self.value + side * self.error, to) for side in (1, -1))
        error = np.max([np.abs(end - value) for end in ends], axis=0)
        return self.like(value, error.astype(np.float64))

    def like(self, value: np.ndarray, error: np.ndarray) -> Self:
        """Other numbers, judged as these are."""
        return type(self)(value, error, self.judged, self.doubt, (self.u, self.inner_u, self.tiny))

    def lift(self, x: Any) -> "Bounded":
        """Arrays are exact; a Python number is rounded to the judged precision on its way in,
        unless it is one that every precision has, such as 1.5 or -inf."""
        if isinstance(x, Bounded):
            return x
        value = np.asarray(x, dtype=self.value.dtype)
        if isinstance(x, np.ndarray):
            kept = value.astype(self.inner_type).astype(value.dtype) == value
            exact = np.isinf(value) | kept
        else:
            short = np.frexp(value)[0] * 2**8
            exact = ~np.isfinite(value) | (np.rint(short) == short)
            exact |= (np.rint(value) == value) & (np.abs(value) <= 2 / self.eps)
        size = np.where(exact, 0.0, size_of(value))
        return self.like(value, self.u * size)

    @property
    def lost_inside(self) -> float:
        """What one rounding may lose next to 0 in the precision it is computed in."""
        return self.inner.tiny

    @property
    def inner_type(self) -> np.dtype:
        """The precision it is computed in."""
        return precision(self.judged).inner

    def require_judged(self, dtype: Any) -> None:
        """Of an array that is asked for in a precision of its own.

        Raises:
            NotImplementedError: it is another one than that which is judged.
        """
        if dtype is not None and not (is_real(np.dtype(dtype)) and np.dtype(dtype) == self.judged):
            raise NotImplementedError(
                f"astype({np.dtype(dtype)}): numbers are judged as {self.judged} throughout"
            )

    def require_bounded(self, name: str, target: Any) -> None:
        """Of what is written into.

        Raises:
            NotImplementedError: it is a plain array, which has no place for the bound.
        """
        if not isinstance(target, Bounded):
            raise NotImplementedError(
                f"{name} into a plain array would lose the rounding bound; make it by "
                f"np.zeros_like(x, shape=...)"
            )


def _valued(ufunc: np.ufunc, operands: list[Bounded]) -> tuple[np.ndarray, list[Bounded]]:
    """The function's value, and the operands that it is of.

    scipy has no erf of long doubles: it is taken of float64 numbers, and what they lack is an error
    of the operand.
    """
    try:
        return np.asarray(ufunc(*(x.value for x in operands))), operands
    except TypeError:
        (x,) = operands
        plain = x.value.astype(np.float64)
        lost = np.nan_to_num(np.abs(x.value - plain).astype(np.float64))
        value = np.asarray(ufunc(plain)).astype(x.value.dtype)
        return value, [x.like(x.value, x.error + lost)]


def _plain(index: Any) -> Any:
    """An index; conditions among it have to be decided."""
    if isinstance(index, tuple):
        return tuple(_plain(part) for part in index)
    if not isinstance(index, Bounded):
        return index
    if not np.isin(index.value, (0, 1)).all():
        layout.require_plain("an index", index)
    return truths.chosen_by(index)


def _called(rule: Callable[..., Any], name: str, *args: Any, **kwargs: Any) -> Any:
    """rule(...), or an error that says which arguments it has no bound for."""
    from inspect import signature

    try:
        signature(rule).bind(*args, **kwargs)
    except TypeError as error:
        raise NotImplementedError(f"{name} has no rounding bound here: {error}") from None
    return rule(*args, **kwargs)
