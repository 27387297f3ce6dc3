"""Where two aligned records part: the last tensors that both have, and what each side makes of
them."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch

from torch_parity.compare.aten.alignment import Alignment
from torch_parity.compare.aten.end_verdicts import EndVerdict
from torch_parity.compare.aten.factories import SHAPED
from torch_parity.compare.aten.memory import Place
from torch_parity.compare.aten.record import Call, Record
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.aten.writers import is_view, stretch, writers_of

PHASES = ("forward", "backward", "update")


@dataclass(frozen=True)
class Parting:
    """The first result that differs, and the calls of each side that lead to it from the last
    tensors that both have, in order. settled are calls, by index, out of which something was made
    that both have: a mask that the layers before used and came out right."""

    end: EndVerdict
    of_a: tuple[Call, ...]
    of_b: tuple[Call, ...]
    settled: frozenset[int] = frozenset()

    @property
    def call(self) -> Call | None:
        """b's first call that a has no counterpart for; a's if b has none.

        Only calls of the phase that makes the result count: what an earlier phase computes in
        another way came out right. A gradient that does not arrive was cut before the first call
        that a lacks, which is the last to read what was cut off.
        """
        own = self._own
        if self.end.outcome == "absent" and own and own[0].phase == "backward":
            made = {r.place for r in own[0].outputs}
            own = [c for c in own[1:] if any(r.place in made for r in c.inputs)] or own
        return own[0] if own else None

    @property
    def _own(self) -> list[Call]:
        """The calls of the phase that makes the result, without those that are settled, if there
        are others."""
        calls = self.of_b or self.of_a
        own = [c for c in calls if c.phase == calls[-1].phase]
        return [c for c in own if c.index not in self.settled] or own

    @property
    def order(self) -> tuple[int, int, bool, int]:
        """In order of computation: by the phase that makes the result, and where its calls begin
        there. Of those that begin alike a gradient that does not arrive says most, then the
        shortest."""
        own = self._own
        phase, begin = (own[0].phase, own[0].index) if own else (self.end.end.phase, 0)
        length = len(self.of_a) + len(self.of_b)
        return PHASES.index(phase), begin, self.end.outcome != "absent", length


def parting(alignment: Alignment) -> Parting | None:
    """Where the sides part first, in order of computation; None if no result is wrong."""
    found = []
    known_b = alignment.known
    known_a = alignment.known_of_a
    done_a = settled(
        alignment.a, known_a, {v.end.a_ref.place for v in alignment.ends if v.end.a_ref}
    )
    done_b = settled(alignment.b, known_b, {v.end.ref.place for v in alignment.ends})
    for verdict in alignment.ends:
        if verdict.outcome not in ("wrong", "absent"):
            continue
        end = verdict.end
        of_b = tuple(leading_to(alignment.b, end.ref, known_b - {end.ref.place}))
        a_ref = end.a_ref
        of_a = (
            () if a_ref is None else tuple(leading_to(alignment.a, a_ref, known_a - {a_ref.place}))
        )
        found.append(Parting(verdict, of_a, of_b, done_b if of_b else done_a))
    first = min(found, key=lambda p: _order(p, alignment), default=None)
    return None if first is None else with_views(first, alignment)


def _order(found: Parting, alignment: Alignment) -> tuple[int, int, bool, int]:
    """What compiled code has made comes before what is computed from it."""
    if found.end.end.ref.place in alignment.b.unseen:
        return PHASES.index(found.end.end.phase), -1, False, len(found.of_a)
    return found.order


def with_views(found: Parting, alignment: Alignment) -> Parting:
    """Where the first calls are the same but read other parts of what both have, or in another
    order, the views that they read it through come first."""
    if not found.of_a or not found.of_b:
        return found
    of_a, of_b = found.of_a[0], found.of_b[0]
    if of_b.phase != "forward":
        return found
    if of_a.overload is not of_b.overload or len(of_a.inputs) != len(of_b.inputs):
        return found
    before_a: list[Call] = []
    before_b: list[Call] = []
    for r, s in zip(of_a.inputs, of_b.inputs, strict=True):
        both = r.place in alignment.known_of_a and s.place in alignment.known
        if both and not _alike(alignment.a.value(r), alignment.b.value(s)):
            views = views_of(alignment.a, r, of_a), views_of(alignment.b, s, of_b)
            shared = [_same_view(v, w) for v, w in zip(*views, strict=False)]
            n = (*shared, False).index(False)
            before_a += views[0][n:]
            before_b += views[1][n:]
    return replace(found, of_a=(*before_a, *found.of_a), of_b=(*before_b, *found.of_b))


def _alike(x: torch.Tensor, y: torch.Tensor) -> bool:
    """To a few digits, which is enough to tell another part of the same tensor."""
    return x.shape == y.shape and bool(torch.allclose(x.double(), y.double(), 1e-6, 1e-9, True))


def _same_view(x: Call, y: Call) -> bool:
    options = [[a for a in c.args if not isinstance(a, TensorRef)] for c in (x, y)]
    return x.overload is y.overload and options[0] == options[1]


def views_of(record: Record, ref: TensorRef, reader: Call) -> list[Call]:
    """The calls that lead from the memory that was written to this way of reading it."""
    found: list[Call] = []
    for call in reversed(record.calls[: reader.index]):
        if ref in call.outputs:
            if not is_view(call):
                break
            if call.inputs[0] == ref:  # detach: the same in every way
                continue
            found.append(call)
            ref = call.inputs[0]
    return found[::-1]


def leading_to(record: Record, ref: TensorRef, known: Collection[Place]) -> list[Call]:
    """The calls that make a tensor out of known ones, less those that only make constants."""
    calls = stretch(record, ref, known)
    return [c for c in calls if c.operation not in SHAPED] or calls


def settled(record: Record, known: Collection[Place], ends: Collection[Place]) -> frozenset[int]:
    """The forward calls, by index, out of which the forward made something that both have. Behind
    a result nothing is settled: if it is wrong, what is computed from it goes on with the other's
    numbers."""
    writers = {
        place: call
        for place, call in writers_of(record).items()
        if call.phase == "forward" and call.operation not in SHAPED
    }
    todo = [r.place for place in known if place in writers for r in writers[place].inputs]
    seen = {*known, *ends}
    found = set()
    while todo:
        place = todo.pop()
        if place not in seen and place in writers:
            seen.add(place)
            found.add(writers[place].index)
            todo += [r.place for r in writers[place].inputs]
    return frozenset(found)
