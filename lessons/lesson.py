"""What a lesson is: a measurement on both sides, and a conclusion that follows from its numbers.

The two are kept apart, so that no sentence can say what was not measured: `conclude` sees the
numbers and nothing else, and words its claim the other way round where they do not bear it out.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure

from torch_parity.compare.judge.differences import compare
from torch_parity.lessons.experiment import Trained

Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Table:
    """Rows of text, in the order in which they are read."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Claim:
    """One sentence of the conclusion, and whether the numbers bear out what the notes say."""

    holds: bool
    text: str


@dataclass(frozen=True)
class Measured:
    """What one run of a lesson found: named numbers (of both sides), and what there is to see.

    runs are the trainings behind it, by the name of their TensorBoard folder.
    """

    numbers: dict[str, float]
    tables: tuple[Table, ...]
    figures: dict[str, Figure]
    runs: dict[str, Trained] = field(default_factory=dict)


@dataclass(frozen=True)
class Lesson:
    """text is the docstring of the lesson's file; its first line stands in the list of lessons.

    headings are those of the notes that it covers; measure takes the seed.
    """

    name: str
    headings: tuple[str, ...]
    text: str
    measure: Callable[[int], Measured]
    conclude: Callable[[Numbers], tuple[Claim, ...]]

    @property
    def line(self) -> str:
        """The idea in one line."""
        return self.text.splitlines()[0]

    def conclusion(self, n: Numbers) -> tuple[Claim, ...]:
        """The lesson's own claims, and whether both sides agreed in what was compared."""
        return *self.conclude(n), agree(n)


def claim(holds: bool, so: str, otherwise: str) -> Claim:
    """The sentence for what the numbers say."""
    return Claim(holds, so if holds else otherwise)


def compared(manual: Mapping[str, np.ndarray], torch: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The judge's comparison of tensors that both sides made, as numbers for `agree`."""
    found = compare(manual, torch)
    return {
        "tensors": len(found),
        "tensors/matching": sum(d.passed for d in found),
        "tensors/difference": max(d.relative for d in found),
    }


def judged(runs: Iterable[Trained]) -> dict[str, float]:
    """The judge's verdicts on trainings, as numbers for `agree`."""
    done = list(runs)
    widest = max((r.records[-1] for r in done), key=lambda record: record.drift)
    return {
        "trainings": len(done),
        "steps": sum(r.steps for r in done),
        "steps/passed": sum(r.passed for r in done),
        "drift": widest.drift,
        "envelope": widest.envelope,
    }


def agree(n: Numbers) -> Claim:
    """Whether both sides computed the same in everything that was compared or judged."""
    parts, holds = [], True
    if "tensors" in n:
        holds &= n["tensors/matching"] == n["tensors"] > 0
        parts.append(
            f"{n['tensors/matching']:.0f} of {n['tensors']:.0f} tensors match "
            f"(greatest relative difference {n['tensors/difference']:.1e})"
        )
    if "steps" in n:
        holds &= n["steps/passed"] == n["steps"] > 0
        parts.append(
            f"the judge passed every tensor of {n['steps/passed']:.0f} of {n['steps']:.0f} steps "
            f"in {n['trainings']:.0f} training{'s' * (n['trainings'] != 1)} "
            f"(left to run free, parameters end up to {n['drift']:.1e} apart; rounding alone, a "
            f"twin nudged by one ulp a step, does {n['envelope']:.1e})"
        )
    found = "; ".join(parts)
    return claim(
        holds and bool(parts),
        f"Manual and torch agree: {found}.",
        f"Manual and torch do NOT agree: {found or 'nothing was compared'}.",
    )
