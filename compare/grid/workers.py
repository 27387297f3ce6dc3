"""Who judges the cases of a grid, as the sweep sees them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch_parity.compare.grid.outcome import Numbered, Outcome

Chunks = Iterable[Sequence[Numbered]]


@dataclass(frozen=True)
class Workers:
    """How many processes judge a case each at one time, and what they find, in any order."""

    cores: int
    outcomes: Iterator[Sequence[Outcome]]
