"""The catalogue: a known mistake is a function that yields a sentence where it explains a case."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch_parity.compare.aten.causes.case import Case

ALL = ("forward", "backward", "update")  # phases
Test = Callable[["Case"], Iterator[str]]


@dataclass(frozen=True)
class Cause:
    """A known mistake that explains where two models part, and what each of the two does."""

    name: str
    sentence: str


@dataclass(frozen=True)
class Entry:
    """A known mistake: its name, what it is in a line, the function that looks for it.

    phases are those in which it can be what differs first. general says that it describes a
    relation of two tensors (a factor, a missing term) without saying how it came about: it yields
    to any mistake that is less general.
    """

    name: str
    line: str
    test: Test
    phases: tuple[str, ...] = ("forward",)
    general: int = 0


CATALOGUE: list[Entry] = []


def cause(
    name: str, line: str, phases: tuple[str, ...] = ("forward",), general: int = 0
) -> Callable[[Test], Test]:
    """Put a function into the catalogue."""

    def keep(test: Test) -> Test:
        CATALOGUE.append(Entry(name, line, test, phases, general))
        return test

    return keep
