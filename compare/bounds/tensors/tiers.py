"""How strictly one call is judged, while it is replayed.

walk    the roundings of a sum of n terms add up like a random walk: 4 (sqrt(n) + 1) u sum|x|
worst   they all point one way: (n + 4) u sum|x|
half    as worst, with each rounding that of the half that the call reads or makes: some kernels
        sum in the half itself
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from torch_parity.compare.bounds.bounded import Bounded

TIERS = ("walk", "worst", "half")


@dataclass(frozen=True)
class Setting:
    """alone: the call is one operation of IEEE arithmetic, and rounds its result once. Inside a
    formula the terms of a sum may be taken in another order. coarsest is the half of tier half.
    accelerator: the call ran on another device than the CPU, some of whose kernels compute in the
    parameters' own precision what those of the CPU compute in double."""

    tier: str = "walk"
    alone: bool = False
    coarsest: np.dtype | None = None
    accelerator: bool = False


class WorstCase(Bounded):
    """Bounded, with the roundings of every sum pointing one way."""

    def sum_units(self, n: Any, drift: Any, u: float) -> Any:
        """(n + 4) u"""
        return np.where(np.asarray(n) > 0, (np.asarray(n) + 4) * u, 0.0)

    @property
    def lost_inside(self) -> float:
        """Of the half, where sums are taken in it."""
        return self.tiny if self.u == self.inner_u else self.inner.tiny


class _Current:
    setting = Setting()


def current() -> Setting:
    """What numbers are judged by now."""
    return _Current.setting


@contextmanager
def judged_by(**changes: Any) -> Iterator[None]:
    """With another setting for a while."""
    before = _Current.setting
    _Current.setting = replace(before, **changes)
    try:
        yield
    finally:
        _Current.setting = before
