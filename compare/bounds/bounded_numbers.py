"""Numbers that each bring a bound on their rounding, and what one more rounding adds to it."""

from typing import Any, Self

import numpy as np

from torch_parity.compare.bounds.precise import higher
from torch_parity.compare.bounds.precision import LOWER, is_real, precision, rounded
from torch_parity.compare.bounds.rules import size_of
from torch_parity.compare.bounds.sum_drift import drift_of

# The same formula in another order rounds elsewhere: torch takes exp(log_softmax) where the hand
# takes softmax. Every rounding is therefore allowed for twice.
VARIANTS = 2


class BoundedNumbers:
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

    def lift(self, x: Any) -> Any:
        """Arrays are exact; a Python number is rounded to the judged precision on its way in,
        unless it is one that every precision has, such as 1.5 or -inf."""
        if isinstance(x, BoundedNumbers):
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
        if not isinstance(target, BoundedNumbers):
            raise NotImplementedError(
                f"{name} into a plain array would lose the rounding bound; make it by "
                f"np.zeros_like(x, shape=...)"
            )
