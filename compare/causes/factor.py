"""A number that a mistake has in it (a slope, a learning rate), read off the record."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Factor:
    """A number that the record allows, from low to high.

    alone: one entry shows it, or several that are alike. Any formula with a free number explains
    one entry, so it has to agree with an entry of another tensor, where the direction or the base
    is another one, by more than reach.
    """

    low: float
    high: float
    alone: bool
    direction: float
    base: float
    reach: float

    @property
    def value(self) -> float:
        """The middle of what is allowed."""
        return (self.low + self.high) / 2

    def shared_with(self, other: "Factor") -> float | None:
        """The number that both allow, if there is one and the two are not the same entry twice."""
        reach = max(self.reach, other.reach)
        gaps = abs(self.direction - other.direction), abs(self.base - other.base)
        low, high = max(self.low, other.low), min(self.high, other.high)
        return (low + high) / 2 if max(gaps) > reach and low <= high else None


def common_factor(
    made: np.ndarray, base: np.ndarray | float, direction: np.ndarray, error: np.ndarray
) -> Factor | None:
    """The f with made = base + f * direction, each entry to within its error.

    Every entry allows an interval of f; the middle of what all of them allow is the answer, so a
    factor that explains the record is found if there is one. None if no entry shows it.
    """
    at = direction != 0
    if made.shape != direction.shape or not at.any():
        return None
    wide = direction[at].astype(np.longdouble)  # a quotient rounded once more would be off by that
    of, reach = (np.broadcast_to(np.asarray(a), made.shape)[at] for a in (base, error))
    moved = made[at].astype(np.longdouble) - of
    show = np.abs(moved) > reach
    if not show.any():
        return None
    ends = (moved - reach) / wide, (moved + reach) / wide
    first = int(show.argmax())
    return Factor(
        low=float(np.minimum(*ends).max()),
        high=float(np.maximum(*ends).min()),
        alone=all(_alike(a[show], reach[show]) for a in (np.abs(wide), of)),
        direction=float(abs(wide[first])),
        base=float(of[first]),
        reach=float(reach[first]),
    )


def _alike(entries: np.ndarray, error: np.ndarray) -> bool:
    """Whether they are one number, or none, up to their rounding."""
    return entries.size < 2 or bool(np.ptp(entries) <= error.max())
