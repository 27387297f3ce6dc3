"""The smallest set of known mistakes that explains every wrong tensor."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import chain

from torch_parity.compare.causes.cause import Cause
from torch_parity.compare.causes.intervention import Changed
from torch_parity.compare.causes.remedies import numbers_of

MOST = 3  # causes in one step; more are reported as unknown


@dataclass(frozen=True)
class Explanation:
    """A cause, the wrong tensors that it explains, in flow order, and the first operation with what
    the mistake made of it."""

    cause: Cause
    tensors: tuple[str, ...]
    changed: Changed | None = None

    @property
    def remedy(self) -> tuple[str, str]:
        """The right line of this operation, in NumPy and in torch."""
        cause = self.cause
        if cause.remedy is None or self.changed is None:
            return cause.manual, cause.torch
        return cause.remedy(self.changed.node)

    @property
    def numbers(self) -> str:
        """The numbers of the mistake beside the right ones, where it has any."""
        return numbers_of(self.changed.node, self.changed.new) if self.changed else ""


@dataclass(frozen=True)
class Diagnosis:
    """Why one side is wrong.

    alternatives are sets of causes that each explain all that can be explained: one is a unique
    answer, several cannot be told apart on this step. unexplained names the wrong tensors that no
    known mistake accounts for, in flow order.
    """

    alternatives: tuple[tuple[Explanation, ...], ...]
    unexplained: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """unique, ambiguous or unknown; a wrong tensor left unexplained makes it unknown."""
        if self.unexplained or not self.alternatives:
            return "unknown"
        return "unique" if len(self.alternatives) == 1 else "ambiguous"

    @property
    def names(self) -> tuple[frozenset[str], ...]:
        """The names of each alternative."""
        return tuple(frozenset(e.cause.name for e in a) for a in self.alternatives)


def told_apart(found: Diagnosis, longer: Diagnosis) -> Diagnosis:
    """Those of several alternatives that a longer record leaves, if it leaves any."""
    left = tuple(
        a for a, names in zip(found.alternatives, found.names, strict=True) if names in longer.names
    )
    return replace(found, alternatives=left) if left else found


def smallest(found: list[Explanation], wrong: list[str]) -> Diagnosis:
    can = set(chain.from_iterable(e.tensors for e in found))
    target = [name for name in wrong if name in can]
    unexplained = tuple(name for name in wrong if name not in can)
    for size in range(1, MOST + 1):
        covers = {frozenset(e.cause.name for e in c): c for c in _covers(found, target, size)}
        if covers:
            # a number read off the record can imitate a mistake that needs none
            own = [c for c in covers.values() if not _yields(c, covers)]
            plain = [c for c in own if not any(e.cause.tuned for e in c)]
            return Diagnosis(tuple(plain or own), unexplained)
    return Diagnosis((), tuple(wrong))


def _yields(cover: tuple[Explanation, ...], covers: Collection[frozenset[str]]) -> bool:
    """Whether another cover has, in place of one of these causes, the one that it yields to."""
    names = frozenset(e.cause.name for e in cover)
    return any(names - {e.cause.name} | {e.cause.yields_to} in covers for e in cover)


def _covers(
    found: list[Explanation], target: list[str], size: int
) -> Iterator[tuple[Explanation, ...]]:
    """Sets of at most `size` explanations that together account for every tensor of target."""
    if not target:
        yield ()
    elif size:
        for e in found:
            if target[0] in e.tensors:
                rest = [name for name in target if name not in e.tensors]
                for others in _covers(found, rest, size - 1):
                    yield (e, *others)
