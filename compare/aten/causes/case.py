"""What a known mistake is looked for in: the calls of both models from the last tensors that both
have, on bounded numbers, and the swaps that bring the two together again.

Both sides begin from the same numbers, so two of their tensors are the same if and only if their
bounds meet.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch_parity.compare.aten.alignment import Alignment
from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.side import Made, Side
from torch_parity.compare.aten.causes.swaps import Swap, swaps_of
from torch_parity.compare.aten.memory import Place
from torch_parity.compare.aten.parting import Parting
from torch_parity.compare.bounds.precise import higher


@dataclass
class Case:
    """a and b from the last tensors that both have; end is the first result that differs, with what
    each side has for it."""

    a: Side
    b: Side
    alignment: Alignment
    parting: Parting
    lacking: tuple[str, ...] = ()
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def both_ways(self) -> tuple[tuple[Side, Side], tuple[Side, Side]]:
        """b's calls are changed to reach a's tensors; then a's to reach b's."""
        return (self.b, self.a), (self.a, self.b)

    @cached_property
    def phase(self) -> str:
        """The phase in which the two part."""
        call = self.parting.call
        return call.phase if call is not None else self.parting.end.end.phase

    @cached_property
    def end(self) -> tuple[Made, Made] | None:
        """The first result that differs: a's numbers in b's layout, and b's."""
        verdict = self.parting.end
        end = verdict.end
        if not end.wanted or not end.wanted[0].size or end.a_ref is None or end.ref.unjudged:
            return None
        of_b = self.b.number(end.ref) if end.ref.place in self._computed(self.b) else None
        if of_b is None or end.wanted[0].size != of_b.numel():
            return None
        of_a = self.a.number(end.a_ref) if end.a_ref.place in self._computed(self.a) else None
        error = 0.0 if of_a is None else float(numbers.error_of(of_a).max(initial=0.0))
        wanted = end.wanted[0].astype(higher(end.wanted[0].dtype)).reshape(tuple(of_b.shape))
        call_a, call_b = self.a.maker(end.a_ref), self.b.maker(end.ref)
        first = call_a or call_b or self.parting.call
        second = call_b or first
        if first is None or second is None:
            return None
        tensor = numbers.with_error(wanted, error, end.ref.dtype)
        return Made(end.a_ref, tensor, first), Made(end.ref, of_b, second)

    @staticmethod
    def _computed(side: Side) -> set[Place]:
        return {m.ref.place for m in side.made} | {r.place for r in side.record.given.values()}

    @cached_property
    def swaps(self) -> list[Swap]:
        """Where the other side's tensor brings the two together again, first."""
        if self.phase == "update":  # each parameter goes its own way
            return []
        return [s for one, other in self.both_ways for s in swaps_of(one, other)]
