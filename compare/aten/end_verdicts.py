"""What became of a result: b's bound, held against a's numbers."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from torch_parity.compare.aten.ends import End
from torch_parity.compare.aten.memory import digits
from torch_parity.compare.bounds.bounded import Bounded

Outcome = Literal["right", "wrong", "unjudged", "unpaired", "absent"]


@dataclass(frozen=True)
class EndVerdict:
    """A result of b, held to its bound around a's numbers."""

    end: End
    outcome: Outcome
    use: float = 0.0
    power: float = 0.0
    index: tuple[int, ...] = ()
    of_a: float = 0.0
    of_b: float = 0.0
    bound: float = 0.0
    reach: float = 0.0
    reason: str = ""


def verdict_within(end: End, use: float, numbers: np.ndarray, b: Bounded) -> EndVerdict:
    """The verdict on a result whose greatest gap is this many bounds, at the entry with the
    greatest gap."""
    uses = _uses(numbers, b)
    index = tuple(int(i) for i in np.unravel_index(int(uses.argmax()), uses.shape))
    largest = float(np.abs(b.value[np.isfinite(b.value)]).max(initial=0.0))
    reach = float(b.error.max(initial=0.0))
    power = reach / largest if largest else np.inf
    told = (float(numbers[index]), float(b.value[index]), float(b.error[index]), reach)
    if use > 1:
        return EndVerdict(end, "wrong", use, power, index, *told)
    if not np.isfinite(b.error[np.isfinite(b.value)]).all():
        return EndVerdict(end, "unjudged", use, power, index, *told, "an entry has no bound")
    if np.isnan(b.value).any():
        return EndVerdict(end, "unjudged", reason="it holds nan on both sides, which shows nothing")
    return EndVerdict(end, "right", use, power, index, *told)


def verdict_without_bound(end: End, numbers: np.ndarray, b: Bounded) -> EndVerdict:
    """Numbers that no recorded call made have no bound: they are the same, or share half of their
    digits, which rounding may explain, or are others."""
    if np.array_equal(numbers, b.value, equal_nan=True):
        return EndVerdict(end, "right")
    with np.errstate(all="ignore"):
        gap = np.nan_to_num(np.abs(numbers - b.value).astype(np.float64), nan=0.0, posinf=np.inf)
        gap = np.where(np.isnan(numbers) != np.isnan(b.value), np.inf, gap)
        allowed = half_of_the_digits(b, digits(end.ref.dtype))
    index = tuple(int(i) for i in np.unravel_index(int(gap.argmax()), gap.shape))
    told = (index, float(numbers[index]), float(b.value[index]))
    if gap[index] > allowed:
        return EndVerdict(end, "wrong", np.inf, 0.0, *told)
    reason = "no torch call made it (NumPy or Python did), so it has no bound, and it is not equal"
    return EndVerdict(end, "unjudged", 0.0, 0.0, *told, reason=reason)


def greatest_use(numbers: np.ndarray, b: Bounded, more: Any = 0.0) -> float:
    """The greatest gap in units of the bound, with more allowed for."""
    return float(_uses(numbers, b, more).max(initial=0.0))


def _uses(numbers: np.ndarray, b: Bounded, more: Any = 0.0) -> np.ndarray:
    """The gap of each entry in units of its bound."""
    with np.errstate(all="ignore"):
        same = (numbers == b.value) | (np.isnan(numbers) & np.isnan(b.value))
        gap = np.abs(numbers - b.value).astype(np.float64)
        # an entry without a bound is no proof; one that has to be nan is
        settled = same | (gap == 0) | (~np.isfinite(b.error) & ~np.isnan(b.value))
        uses = np.where(settled, 0.0, gap / (b.error + more))
    return np.where(np.isnan(uses), np.inf, uses)


def half_of_the_digits(b: Bounded, bits: int) -> float:
    """The gap beyond which not even half of the bits are the same, at the largest entry."""
    finite = np.abs(b.value[np.isfinite(b.value)])
    return float(2.0 ** (-bits / 2) * finite.max(initial=0.0))
