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
from torch_parity.compare.bounds.bounded_numbers import BoundedNumbers
from torch_parity.compare.bounds.functions import rule_of
from torch_parity.compare.bounds.rules import error_of

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


class Bounded(BoundedNumbers, NDArrayOperatorsMixin):
    """Bounded numbers as an array of NumPy: its operators, functions, indices and methods."""

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
