"""The verdict on one step: do the two sides compute the same, and if not, who is wrong where.

Cheap comparison first; where it doubts, each side's operations are replayed on the inputs that side
recorded. A gap between two sides whose operations are all right is rounding, however wide.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from compare.differences import Difference, compare
from compare.flow import Node
from compare.replay import Replayed, replay

Side = Literal["manual", "torch"]


@dataclass(frozen=True)
class Fault:
    """The first operation, in flow order, whose output its own recorded inputs do not explain."""

    side: Side
    found: Replayed


@dataclass(frozen=True)
class Judgement:
    """Every tensor's difference, and each side's replay where one was made (else empty)."""

    differences: tuple[Difference, ...]
    replays: dict[Side, tuple[Replayed, ...]]

    @property
    def passed(self) -> bool:
        """Every tensor is there on both sides and agrees, up to rounding; every replay is right."""
        return all(d.passed for d in self.differences) and not self.faults

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Every operation that is wrong, in flow order; the first of a side is its root cause."""
        pairs = zip(*self.replays.values(), strict=True)
        sides = tuple(self.replays)
        return tuple(
            Fault(side, found)
            for both in pairs
            for side, found in zip(sides, both, strict=True)
            if not found.right
        )

    @property
    def finite(self) -> bool:
        """False once NaN or infinity has appeared, after which no step can be judged."""
        return all(d.verdict != "not finite" for d in self.differences)


def judge(
    nodes: tuple[Node, ...],
    start: Mapping[str, np.ndarray],
    manual: Mapping[str, np.ndarray],
    torch: Mapping[str, np.ndarray],
    always_replay: bool = False,
) -> Judgement:
    """Compare two recorded steps that began from the same start.

    nodes says what the step should compute (compare/flow.py); start holds x, y, parameters,
    optimizer state and masks. Replaying costs about two steps, so it is done in doubt, or on
    request.
    """
    differences = compare(manual, torch)
    if all(d.passed for d in differences) and not always_replay:
        return Judgement(differences, {})
    replays: dict[Side, tuple[Replayed, ...]] = {
        "manual": replay(nodes, start, manual),
        "torch": replay(nodes, start, torch),
    }
    explained = {m.name for m, t in zip(*replays.values(), strict=True) if m.right and t.right}
    faultless = all(r.right for side in replays.values() for r in side)
    return Judgement(
        tuple(_settle(d, faultless and d.name in explained) for d in differences), replays
    )


def _settle(d: Difference, explained: bool) -> Difference:
    return replace(d, verdict="rounding") if explained and d.verdict == "differs" else d
