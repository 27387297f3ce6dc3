"""The second record, held to the first: where they part, what is lacking, and why."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from torch_parity.compare.aten.align import align
from torch_parity.compare.aten.alignment import Alignment
from torch_parity.compare.aten.causes import Cause, Options, causes_of
from torch_parity.compare.aten.end_verdicts import EndVerdict
from torch_parity.compare.aten.ends import End, ends_of, unmet
from torch_parity.compare.aten.given import given_pairs
from torch_parity.compare.aten.given_pairs import same_given
from torch_parity.compare.aten.pairing import Pairing
from torch_parity.compare.aten.parting import Parting, parting
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.rivals import settled
from torch_parity.compare.errors import InputError, suggest

Settings = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Comparison:
    """b's calls held to a's numbers: where they part, what b lacks, and which given tensor is
    which."""

    alignment: Alignment
    parting: Parting | None
    lacking: tuple[str, ...]
    unpaired: tuple[str, ...]
    pairs: Mapping[str, Pairing]

    @property
    def doubt(self) -> int:
        """2 where something is wrong, 1 where something is not judged."""
        outcomes = {e.outcome for e in self.alignment.ends}
        if self.lacking or outcomes & {"wrong", "absent"}:
            return 2
        return int(bool(self.unpaired) or outcomes != {"right"})


def compared(
    pair: Sequence[Record],
    names: Mapping[str, str],
    ignore: Sequence[str] = (),
    tick: Callable[[], None] = lambda: None,
    bits: int = 53,
) -> Comparison:
    """The second record, held to the first."""
    a, b = pair
    pairs = given_pairs(a, b, names)
    ends = list(ends_of(a, b, pairs))
    due, unpaired = unmet(a, ends, pairs)
    kept = [n for n in (*b.results, *a.results) if n.startswith("new ")]
    ends = _without(ignore, ends, kept)
    alignment = align(a, b, ends, same_given(a, b, pairs), tick, bits)
    pairs, lost = settled(alignment, pairs)
    lacking, left = (
        tuple(n for n in found if not is_ignored(n, ignore)) for found in (due, [*unpaired, *lost])
    )
    return Comparison(alignment, parting(alignment), lacking, left, pairs)


def kept_elsewhere(there: Comparison, a: Settings, b: Settings) -> Comparison:
    """An optimizer of another class may keep what the first does in another place (a list), or in
    another form."""
    if {at["class"] for at in a.values()} == {at["class"] for at in b.values()}:
        return there
    slots = tuple(n for n in there.lacking if _owner(n) in a)
    lacking = tuple(n for n in there.lacking if n not in slots)
    ends = there.alignment.ends
    for i, verdict in enumerate(ends):
        if verdict.outcome == "absent" and _owner(verdict.end.name) in b:
            ends[i] = replace(verdict, outcome="unpaired")
    part = there.parting if there.lacking or _is_wrong(ends) else None
    return replace(there, parting=part, lacking=lacking, unpaired=(*there.unpaired, *slots))


def _owner(slot: str) -> str:
    """new fc1.weight.exp_avg -> fc1.weight"""
    return slot.removeprefix("new ").rpartition(".")[0]


def _is_wrong(ends: Iterable[EndVerdict]) -> bool:
    return any(e.outcome in ("wrong", "absent") for e in ends)


def why(
    there: Comparison,
    pair: Sequence[Record],
    names: Mapping[str, str],
    ignore: Sequence[str],
    called: tuple[str, str],
    options: tuple[Options, Options],
    bits: int = 53,
) -> tuple[Parting | None, tuple[Cause, ...]]:
    """Where the two part as seen from the other side, and the known mistake that explains it. What
    b lacks shows only from there."""
    if there.parting is None and not there.lacking:
        return None, ()
    of_a = [e.end.partner for e in there.alignment.ends if is_ignored(e.end.name, ignore)]
    other = {of_b: of_a for of_a, of_b in names.items()}
    here = compared(
        (pair[1], pair[0]), other, tuple(n for n in of_a if n in pair[0].results), bits=bits
    )
    causes = causes_of(
        there.alignment,
        there.parting,
        here.alignment,
        here.parting,
        called,
        options,
        there.lacking,
    )
    return here.parting, causes


def _without(ignore: Sequence[str], ends: list[End], kept: Iterable[str]) -> list[End]:
    if isinstance(ignore, str):
        raise InputError(f"ignore: expected a list of patterns, such as [{ignore!r}]")
    known = [*dict.fromkeys((*(end.name for end in ends), *kept))]
    for pattern in ignore:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise InputError(f"ignore: no result is called {pattern!r}; {suggest(pattern, known)}")
    left = [end for end in ends if not is_ignored(end.name, ignore)]
    if ignore and not left:
        raise InputError("ignore: no result of the step is left to compare")
    return left


def is_ignored(name: str, ignore: Sequence[str]) -> bool:
    """Whether a result of b, by its name, is left out."""
    return any(fnmatchcase(name, pattern) for pattern in ignore)
