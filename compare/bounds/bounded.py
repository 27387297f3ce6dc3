"""Bounds that derive themselves: run any hand-written function on Bounded numbers, and out comes
what a computer with unit roundoff u may have got instead.

This is running error analysis (Higham, Accuracy and Stability of Numerical Algorithms, 3.3): each
number carries its value, in higher precision, and a bound on how far a computation in the judged
precision may be off. Every operation adds what its inputs bring along, and its own rounding.

No function has to be told its bound, so a new operation costs none.
"""

from collections.abc import Callable
from typing import Any, Self, SupportsIndex

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from torch_parity.compare.bounds.precise import higher, precise_matmul
from torch_parity.compare.bounds.precision import LOWER, precision, rounded
from torch_parity.compare.bounds.rules import COMPARISONS, RULES, erf_error
from torch_parity.compare.bounds.sum_drift import drift_of

# The same formula in another order rounds elsewhere: torch takes exp(log_softmax) where the hand
# takes softmax. Every rounding is therefore allowed for twice.
VARIANTS = 2
# How many terms of doubtful sums are looked at in one go; it bounds the memory.
TERMS_AT_ONCE = 2**22


class Bounded(NDArrayOperatorsMixin):
    """value +- error, entry by entry; u is the unit roundoff of the precision that is judged
    (VARIANTS times, and a little), inner_u that of the precision it is computed in: a half is
    computed in float32 and rounded once, when the operation is done.

    The n roundings of a sum point either way, so they add up like a random walk to
    4 (sqrt(n) + 1) u sum|x|, or to (n + 4) u sum|x| where that is less. Terms that are alike round
    alike, though, and then the walk drifts (Higham and Mary 2019 show it on constant terms):
    entries in doubt are looked at again with the drift that their terms have. doubt says which: of
    a product's entries 1 is given the drift of its terms, and 2 the n + 4 at once, which is no less
    and costs nothing.
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
    def T(self) -> Self:
        """Transposed."""
        return self._new(self.value.T, self.error.T)

    def copy(self) -> Self:
        """In memory of its own."""
        return self._new(self.value.copy(), self.error.copy())

    def __getitem__(self, index: Any) -> Self:
        return self._new(self.value[index], self.error[index])

    def __setitem__(self, index: Any, item: Any) -> None:
        item = self._lift(item)
        self.value[index], self.error[index] = item.value, item.error

    def sum(self, axis: SupportsIndex | None = None, keepdims: bool = False) -> Self:
        """n numbers added up, in whatever order.

        All of them, a loss: in the precision that is judged, as torch's nll_loss does. Along an
        axis: in the one it is computed in.
        """
        u, eps = (self.u, self.eps) if axis is None else (self.inner_u, self.inner.eps)
        total = np.asarray(self.value.sum(axis=axis, keepdims=keepdims))
        n = self.size // max(total.size, 1)
        sizes = np.abs(self.value).sum(axis=axis, keepdims=keepdims).astype(np.float64)
        carried = self.error.sum(axis=axis, keepdims=keepdims)
        drift: float | np.ndarray = 0.0
        if self.doubt is not None and n > 1:
            terms = self.value.reshape(-1, 1) if axis is None else np.moveaxis(self.value, axis, 0)
            drift = drift_of(terms.astype(np.float64), eps).reshape(total.shape)
        error = carried + self._sum_units(n - 1, drift, u) * sizes
        # log_softmax rounds log(sum), which is log n at most: as much, relative to the sum itself
        once = 0.0 if axis is None else 1 + np.log(n) if self.exponential else 1.0
        return self._new(total, np.asarray(error + self._rounded_once(total, once)))

    def max(self, axis: SupportsIndex | None = None, keepdims: bool = False) -> Self:
        """The greatest number; no rounding of its own."""
        return self._new(
            np.asarray(self.value.max(axis=axis, keepdims=keepdims)),
            np.asarray(self.error.max(axis=axis, keepdims=keepdims)),
        )

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        into = options.pop("out", None)  # dz -= 1 asks for its result in place
        if method != "__call__" or options:
            return NotImplemented
        operands = [self._lift(x) for x in inputs]
        if ufunc in COMPARISONS:
            return self._compared(ufunc, *operands)
        if ufunc is np.matmul:
            return self._matmul(*operands)
        if ufunc.__name__ == "erf":  # SciPy's, which has no long double
            value = ufunc(self.value.astype(np.float64)).astype(self.value.dtype)
            return self._new(value, erf_error(self, value, self))
        rule = RULES.get(ufunc)
        if rule is None:
            return NotImplemented
        with np.errstate(all="ignore"):
            value = np.asarray(ufunc(*(x.value for x in operands)))
            result = self._new(value, np.asarray(rule(self, value, *operands)))
        if into is not None:
            into[0].value, into[0].error = result.value, result.error
            return into[0]
        result.exponential = ufunc is np.exp
        return result

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        if function is not np.where:
            return NotImplemented
        a, b = self._lift(args[1]), self._lift(args[2])
        condition: Any = args[0]
        undecided = np.asarray(False)
        if isinstance(condition, Bounded):
            undecided = condition.error > 0
            condition = condition.value > 0
        error = np.where(condition, a.error, b.error)
        either = np.maximum(a.error, b.error) + np.abs(a.value - b.value).astype(np.float64)
        return self._new(np.where(condition, a.value, b.value), np.where(undecided, either, error))

    def _compared(self, ufunc: np.ufunc, x: "Bounded", y: "Bounded") -> Any:
        """True or false; 1 or 0 with an error of 1 where rounding may decide it either way."""
        decided = ufunc(x.value, y.value)
        reach = x.error + y.error
        undecided = (reach > 0) & (np.abs(x.value - y.value) <= reach)
        if not undecided.any():
            return decided
        return self._new(decided.astype(self.value.dtype), undecided.astype(np.float64))

    def _matmul(self, a: "Bounded", b: "Bounded") -> Self:
        """Products of recorded tensors; each entry sums n products."""
        values = [x.value.astype(np.float64) for x in (a, b)]
        sizes_a, sizes_b = (np.abs(x) for x in values)
        n = a.shape[-1]
        drift: float | np.ndarray = 0.0
        if self.doubt is not None and self.doubt.shape == (a.shape[0], b.shape[-1]):
            drift = np.where(self.doubt == 2, np.inf, 0.0)
            rows, columns = np.nonzero(self.doubt == 1)
            for at in np.array_split(np.arange(rows.size), rows.size * n // TERMS_AT_ONCE + 1):
                terms = values[0].T[:, rows[at]] * values[1][:, columns[at]]
                drift[rows[at], columns[at]] = drift_of(terms, self.inner.eps)
        units = self._sum_units(n, drift, self.inner_u)
        error = units * (sizes_a @ sizes_b) + n * self.inner.tiny
        lost_a, lost_b = (np.where(x < self.inner.tiny, x, 0.0) for x in (sizes_a, sizes_b))
        if lost_a.any() or lost_b.any():  # AVX-512's products of bfloat16 read such numbers as 0
            error += lost_a @ sizes_b + sizes_a @ lost_b
        if a.error.any() or b.error.any():
            error += a.error @ sizes_b + sizes_a @ b.error + a.error @ b.error
        value = precise_matmul(a.value, b.value)
        product = self._new(value, error + self._rounded_once(value))
        product.begun = units
        return product

    def _sum_units(self, n: int, drift: float | np.ndarray, u: float) -> Any:
        """The error of a sum of n more terms, per unit of their size."""
        return np.minimum(4 * (np.sqrt(n) + 1) + drift, n + 4) * u if n > 0 else 0.0

    def _rounded_once(self, value: np.ndarray, units: float = 1.0) -> Any:
        """What is lost when a sum leaves the precision that it was computed in, if it does."""
        if self.u == self.inner_u:
            return 0.0
        return units * (self.u * np.abs(value).astype(np.float64) + self.tiny)

    def _new(self, value: np.ndarray, error: np.ndarray) -> Self:
        return type(self)(value, error, self.judged, self.doubt, (self.u, self.inner_u, self.tiny))

    def lowered(self, to: str) -> Self:
        """The same number rounded to a lower precision, which all that follows is judged by."""
        lower = precision(LOWER[to])
        u = VARIANTS * lower.eps / 2
        lost = u * np.abs(self.value).astype(np.float64) + lower.tiny * (self.value != 0)
        units = (u, u, max(lower.tiny, self.tiny))
        return type(self)(self.value, self.error + lost, self.judged, self.doubt, units)

    def cut(self, to: str) -> Self:
        """The same number with the digits that a lower precision has for it, and judged as before:
        where it is recorded, these are known exactly."""
        value = rounded(self.value, to)
        error = np.where(self.error > 0, self.error + np.abs(self.value - value), 0.0)
        return self._new(value, error.astype(np.float64))

    def reshape(self, shape: tuple[int, ...]) -> Self:
        """In another shape."""
        return self._new(self.value.reshape(shape), self.error.reshape(shape))

    def _lift(self, x: Any) -> "Bounded":
        """Arrays are exact; a Python number is rounded to the judged precision on its way in."""
        if isinstance(x, Bounded):
            return x
        value = np.asarray(x, dtype=self.value.dtype)
        exact = isinstance(x, np.ndarray) or (float(x).is_integer() and abs(x) <= 2 / self.eps)
        error = np.zeros(value.shape) if exact else self.u * np.abs(value).astype(np.float64)
        return self._new(value, error)
