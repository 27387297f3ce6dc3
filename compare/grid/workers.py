"""The processes that judge the cases of a grid."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch_parity.compare.grid.outcome import Numbered, Outcome

Chunks = Iterable[Sequence[Numbered]]


@dataclass(frozen=True)
class Workers:
    """The number of processes that judge cases at the same time, and the outcomes, in any order."""

    cores: int
    outcomes: Iterator[Sequence[Outcome]]
