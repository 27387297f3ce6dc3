"""Two records that share no names, aligned by their numbers.

b's calls are computed again from a's numbers. Wherever the bounded result lies around a tensor of
a's, the two are the same tensor, and a's numbers stand for it from there on; so each stretch of b's
calls, from tensors that both have to the next one that both have, is held to its own bound. What
has no counterpart in a carries its bound on. In the end every result of b has to lie around the
result of a that it stands for.

Nothing is lost where a tensor is taken for another with the same numbers up to their bounds: a
number within its bound is as good as any other.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch

from torch_parity.compare.aten.draws import RANDOM, UNINITIALISED
from torch_parity.compare.aten.ends import End
from torch_parity.compare.aten.index import MOST_ENTRIES, Entry, Index, ordered, tables_of
from torch_parity.compare.aten.memory import BoundedMemory, Place, digits, numpy_dtype
from torch_parity.compare.aten.record import Call, Record
from torch_parity.compare.aten.replay import (
    expected_of,
    largest,
    proves_nothing,
    real,
    require_known_nan,
)
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.precise import higher
from torch_parity.compare.bounds.precision import precision
from torch_parity.compare.bounds.tensors import BoundedTensor, Unbounded
from torch_parity.compare.tensors import to_numpy
from torch_parity.compare.torch_private import flattened

# A tensor known to no more than this share of its largest entry is nobody's counterpart.
KNOWN_ENOUGH = 1e-3
# A gap of more units of b's bound is not looked at again with what a's own calls round.
WORTH_IT = 1e6
Outcome = Literal["right", "wrong", "unjudged", "unpaired", "absent"]


@dataclass(frozen=True)
class EndVerdict:
    """A result of b, held to its bound around a's numbers."""

    end: End
    outcome: Outcome
    use: float = 0.0
    power: float = 0.0
    index: tuple[int, ...] = ()
    of_a: float = 0.0
    of_b: float = 0.0
    bound: float = 0.0
    reach: float = 0.0
    reason: str = ""


@dataclass
class Alignment:
    """shared maps tensors of b to the same tensors of a; orders says of which the dimensions are in
    another order. known is the memory of b, by storage and version, that holds a's numbers, and
    known_of_a that of a that b has as well. ends are the verdicts on b's results; unbounded are the
    calls of b that no bound can be derived for, with the reason.
    """

    a: Record
    b: Record
    shared: dict[TensorRef, TensorRef] = field(default_factory=dict)
    orders: dict[TensorRef, tuple[int, ...]] = field(default_factory=dict)
    known: set[Place] = field(default_factory=set)
    known_of_a: set[Place] = field(default_factory=set)
    ends: list[EndVerdict] = field(default_factory=list)
    unbounded: dict[int, str] = field(default_factory=dict)


def align(
    a: Record,
    b: Record,
    ends: list[End],
    given: Mapping[TensorRef, TensorRef],
    tick: Callable[[], None] = lambda: None,
    own: int = 53,
) -> Alignment:
    """Walk through b's calls. ends are what has to come out (ends_of); given are b's tensors that
    were given, with those of a that are the same. own are the bits of the models' own numbers: what
    a float32 model casts to float32 loses nothing there, though it does in this record.
    """
    walk = _Walk(a, b, ends, own)
    for ref, of_a in given.items():
        walk.share(ref, of_a)
        walk.alignment.known.add(ref.place)
    for call in b.calls:
        walk.compute(call)
        tick()
    walk.close()
    order = {id(end): i for i, end in enumerate(ends)}
    walk.alignment.ends.sort(key=lambda v: order[id(v.end)])
    return walk.alignment


class _Walk:
    def __init__(self, a: Record, b: Record, ends: list[End], own: int) -> None:
        self.alignment = Alignment(a, b)
        self._index = Index(a)
        self._memory = BoundedMemory(b)
        # where all is float64, a gap of more units of b's bound is no rounding of float64
        worth_it = WORTH_IT if own == digits(torch.float64) else np.inf
        self._own = OwnBounds(a, self._index, worth_it, own)
        self._bits = own
        self._open: dict[Place, list[End]] = defaultdict(list)
        for end in ends:
            self._open[end.ref.place].append(end)
        self._tainted: set[Place] = set()
        # memory that a call gave to a tensor for its own (cuDNN puts an LSTM's weights together)
        self._replaced: set[int] = set()
        self._lowered: set[Place] = set()
        self._tables = tables_of(b)
        self._unseen = set(b.unseen)
        for end in ends:
            self._memory.keep(end.ref)

    def compute(self, call: Call) -> None:
        """The call's outputs from what is known, and their counterparts in a."""
        for ref in call.inputs:
            if ref.place in self._unseen:
                self._unseen.discard(ref.place)
                if ref.place in self._open:  # a result: what it has to be is known
                    self._close(self._open.pop(ref.place))
                if ref.place not in self.alignment.known:
                    self._match_unseen(ref)
        if is_view(call):
            return
        outputs = self._outputs(call)
        if call.operation == "set":
            self._replaced |= {ref.storage for ref in call.outputs}
        if any(r.place in self._lowered for r in call.inputs) or lowers(
            self.alignment.b, call, self._bits
        ):
            self._lowered |= {ref.place for ref in call.outputs}
        for ref, tensor in zip(call.outputs, outputs, strict=False):
            if ref.unjudged:
                continue
            self._memory.write(ref, tensor)
            if ref.place in self._open:
                self._close(self._open.pop(ref.place))
            elif isinstance(tensor, BoundedTensor):
                if not self._match_table(ref):
                    self._match(call, ref, tensor.bounded)
            elif isinstance(tensor, torch.Tensor):
                self._match_exactly(ref, tensor)
        self._memory.forget(call)

    def close(self) -> None:
        """Results that no call made: what was given, handed on."""
        for place in list(self._open):
            self._close(self._open.pop(place))

    def _outputs(self, call: Call) -> list[Any]:
        recorded = self.alignment.b.value
        if call.operation in RANDOM or call.operation in UNINITIALISED:
            return [None if r.unjudged else recorded(r) for r in call.outputs]
        tainted = any(ref.place in self._tainted for ref in call.inputs)
        try:
            opaque = next((r.unjudged for r in (*call.inputs, *call.outputs) if r.unjudged), "")
            if opaque:
                raise Unbounded(f"{call.operation}: {opaque}")
            outputs = expected_of(call, self._memory.read)
            require_known_nan(self.alignment.b, call, outputs)
        except Unbounded as error:
            self.alignment.unbounded[call.index] = str(error)
            of_a = self._same_call(call)
            outputs = [None for _ in call.outputs] if of_a is None else of_a
            tainted = tainted or of_a is None
        if tainted:
            self._tainted |= {ref.place for ref in call.outputs}
        return [
            recorded(ref) if x is None and not ref.unjudged else x
            for ref, x in zip(call.outputs, outputs, strict=False)
        ]

    def _same_call(self, call: Call) -> list[Any] | None:
        """What the same call made in a, of the same tensors; None if a has no such call."""
        shared, a = self.alignment.shared, self.alignment.a
        wanted = flattened((call.args, dict(call.kwargs)))
        wanted = [shared.get(x) if isinstance(x, TensorRef) else x for x in wanted]
        for other in a.calls:
            shapes = [r.shape for r in other.outputs]
            alike = other.overload is call.overload
            alike = alike and shapes == [r.shape for r in call.outputs]
            if alike and _same_arguments(flattened((other.args, dict(other.kwargs))), wanted):
                return [None if r.unjudged else a.value(r) for r in other.outputs]
        return None

    def _match_table(self, ref: TensorRef) -> bool:
        """A table (angles, positions), whose numbers are those of a's, bit by bit, in another order
        or several times: it is what it is, with no rounding in it. (Angles are often computed in
        float32, whose bound is large next to everything else.)"""
        if ref not in self._tables:
            return False
        recorded = self.alignment.b.value(ref)
        of_a = self._index.tables(recorded) if recorded.numel() <= MOST_ENTRIES else None
        if of_a is None:
            return False
        self._memory.write(ref, recorded)
        self.alignment.known.add(ref.place)
        self.alignment.known_of_a |= {r.place for r in of_a}
        return True

    def _match(self, call: Call, ref: TensorRef, b: Bounded) -> None:
        """a's tensor within the bound around b's, if there is one; its numbers are taken."""
        if not b.size or not _known(b):
            return
        for entry in self._candidates(call, b, ref):
            found = self._within(entry, b, ref)
            if found is not None:
                order, numbers = found
                self.share(ref, entry.ref)
                if order is not None:
                    self.alignment.orders[ref] = order
                self.alignment.known.add(ref.place)
                self._tainted.discard(ref.place)
                self._lowered.discard(ref.place)
                exact = Bounded(numbers.copy(), np.zeros(b.shape), numpy_dtype(ref.dtype))
                self._memory.write(ref, BoundedTensor(exact, ref.dtype))
                return

    def _match_unseen(self, ref: TensorRef) -> None:
        """a's tensor that no recorded call of b has made, within the bound of a's calls."""
        if not ref.dtype.is_floating_point or not ref.shape:
            return
        b = BoundedTensor.exact(self.alignment.b.value(ref)).bounded
        for entry in self._index.near(b.value, ref.dtype):
            bound = self._bound_of(entry.ref, b)
            if bound is not None and _known(bound) and _use(b.value, bound, 0.0) <= 1:
                self._take(ref, entry.ref, self._index.value(entry.ref).reshape(b.shape))
                return

    def _bound_of(self, of_a: TensorRef, b: Bounded) -> Bounded | None:
        """What compiled code or NumPy may make of a's tensor: a's formula, with the bound of a's
        calls once for the rounding of either side; None if there is none."""
        if self._own.of(of_a, self.alignment.known_of_a) is None:
            return None
        found = self._own.computed[of_a]
        if found.size != b.size:
            return None
        error = 2 * found.error.reshape(b.shape)
        return Bounded(found.value.reshape(b.shape), error, found.judged)

    def _take(self, ref: TensorRef, of_a: TensorRef, numbers: np.ndarray) -> None:
        """b has a's tensor, and its numbers stand for b's."""
        self.share(ref, of_a)
        self.alignment.known.add(ref.place)
        exact = Bounded(numbers.copy(), np.zeros(numbers.shape), numpy_dtype(ref.dtype))
        self._memory.write(ref, BoundedTensor(exact, ref.dtype))

    def _held_unseen(self, end: End, b: Bounded) -> EndVerdict:
        """A result that no recorded call has made."""
        bound = None if end.a_ref is None else self._bound_of(end.a_ref, b)
        if end.a_ref is None or bound is None or end.a_ref.place in self.alignment.a.unseen:
            if any(np.array_equal(w.reshape(b.shape), b.value) for w in end.wanted):
                return EndVerdict(end, "right")
            reason = "no recorded call made it, and no bound can be derived from the other model"
            return EndVerdict(end, "unjudged", reason=reason)
        # told from b's numbers to what they have to be
        turned = _verdict(end, _use(b.value, bound, 0.0), b.value, bound)
        verdict = replace(turned, of_a=turned.of_b, of_b=turned.of_a)
        if verdict.outcome == "right":
            numbers = end.wanted[0].astype(b.value.dtype).reshape(b.shape)
            self._take(end.ref, end.a_ref, numbers)
        return verdict

    def _match_exactly(self, ref: TensorRef, tensor: torch.Tensor) -> None:
        """a's tensor of the same integers or truths, if there is one."""
        of_a = self._index.exactly(tensor, ref)
        if of_a is not None:
            self.share(ref, of_a)
            self.alignment.known.add(ref.place)

    def _exactly(self, end: End, numbers: np.ndarray, b: Bounded) -> Literal["same", "other", ""]:
        """Whether the two are the same when both are computed from what they have in common in the
        higher precision, where rounding is smaller by the digits that it has more."""
        of_a = None if end.a_ref is None else self._own.computed.get(end.a_ref)
        if of_a is None or of_a.size != b.size:
            return ""
        value, error = of_a.value.reshape(b.shape), of_a.error.reshape(b.shape)
        recorded = self._index.value(end.a_ref).reshape(b.shape)  # type: ignore[arg-type]
        finer = float(np.finfo(b.value.dtype).eps) / precision(numpy_dtype(end.ref.dtype)).eps
        if not np.array_equal(recorded, numbers) or finer >= 1:
            return ""
        with np.errstate(all="ignore"):
            allowed = 2 * finer * (error + b.error)
            if (np.abs(value - b.value) > allowed).any():
                return "other"
        a, known = self.alignment.a, self.alignment.known_of_a
        calls = stretch(a, end.a_ref, known - {end.a_ref.place})  # type: ignore[union-attr, arg-type]
        sizes = [largest(a.value(r)) for call in calls for r in call.inputs if real(r)]
        most = 2.0 ** (-self._bits / 2) * max(sizes, default=0.0)
        return "same" if float(allowed.max()) <= most else ""

    def _most(self, b: Bounded) -> float:
        """More rounding of a's is no proof: half of the digits have to be the same."""
        finite = np.abs(b.value[np.isfinite(b.value)])
        return float(2.0 ** (-self._bits / 2) * finite.max(initial=0.0))

    def share(self, ref: TensorRef, of_a: TensorRef) -> None:
        """Both have it, and a's copies of it."""
        self.alignment.shared[ref] = of_a
        self.alignment.known_of_a |= {copy.place for copy in self._index.copies(of_a)}

    def _candidates(self, call: Call, b: Bounded, ref: TensorRef) -> list[Entry]:
        found = list(self._index.like(b.value, b.error, ref.dtype))
        if ref.place in self._lowered:  # it is no tensor that kept its digits
            found = [e for e in found if _is_lowered(e)]

        def rank(entry: Entry) -> tuple[bool, bool, bool, int]:
            made = entry.call
            alike = made is not None and made.operation == call.operation
            same_phase = made is not None and made.phase == call.phase
            return (not alike, not same_phase, entry.ref.shape != ref.shape, entry.order)

        return sorted(found, key=rank)

    def _within(
        self, entry: Entry, b: Bounded, ref: TensorRef
    ) -> tuple[tuple[int, ...] | None, np.ndarray] | None:
        """The candidate's numbers in b's layout, if they lie within the bound; the order of the
        dimensions that brings them there."""
        numbers = self._index.value(entry.ref)
        for order, arranged in ordered(numbers, ref.shape):
            use = _use(arranged, b, 0.0)
            if use <= 1:
                return order, arranged
            if use < self._own.worth_it:
                own = self._own.of(entry.ref, self.alignment.known_of_a)
                if own is not None and _use(arranged, b, min(own, self._most(b))) <= 1:
                    return order, arranged
            if not np.array_equal(np.sort(arranged.reshape(-1)).shape, (b.size,)):
                break
            if not _same_multiset(arranged, b):
                break
        return None

    def _close(self, ends: list[End]) -> None:
        """Hold results to a's, and go on with a's numbers."""
        b, known = self.alignment.b, self.alignment.known
        for end in ends:
            verdict = self._held(end)
            if verdict.outcome == "wrong" and b.undrawn:
                reason = "compiled code draws random numbers of its own"
                verdict = replace(verdict, outcome="unjudged", reason=reason)
            doubtful = verdict.outcome == "right" and verdict.power >= 1
            if doubtful and proves_nothing(verdict.reach, b, stretch(b, end.ref, known)):
                reason = "its bound is larger than what it is computed with"
                verdict = replace(verdict, outcome="unjudged", reason=reason)
            self.alignment.ends.append(verdict)
            if verdict.outcome == "right":
                self.alignment.known.add(end.ref.place)
                if end.a_ref is not None:
                    self.share(end.ref, end.a_ref)

    def _held(self, end: End) -> EndVerdict:
        if end.missing:
            return EndVerdict(end, end.missing)
        if end.unreadable:
            return EndVerdict(end, "unjudged", reason=f"a {end.unreadable} is not read")
        found = self._memory.read(end.ref)
        alike = [w for w in end.wanted if _fits(end, w)]
        if not alike:
            shapes = ", ".join(str(w.shape) for w in end.wanted)
            reason = f"shape {end.ref.shape}, expected {shapes}"
            return EndVerdict(end, "wrong", np.inf, reason=reason)
        if not found.numel():
            shown = end.name.partition(".")[0] != "output"
            return EndVerdict(
                end, "right" if shown else "unjudged", reason="" if shown else "it has no entries"
            )
        if not isinstance(found, BoundedTensor):
            same = any(np.array_equal(w.reshape(-1), to_numpy(found).reshape(-1)) for w in alike)
            return EndVerdict(end, "right" if same else "wrong", 0.0 if same else np.inf)
        b = found.bounded
        if end.outside:
            return _made_outside(end, alike[0].astype(b.value.dtype).reshape(b.shape), b)
        known = end.a_ref is not None and end.a_ref.place not in self.alignment.a.unseen
        if end.ref.place in self.alignment.b.unseen and (known or self.alignment.b.compiled):
            return self._held_unseen(end, b)
        best: tuple[float, np.ndarray] | None = None
        vague = False
        for wanted in alike:
            numbers = wanted.astype(higher(wanted.dtype)).reshape(b.shape)
            use = _use(numbers, b, 0.0)
            if end.a_ref is not None and end.a_ref.place in self.alignment.a.unseen:
                use /= 2  # the bound once for the rounding of either side
            if 1 < use < self._own.worth_it and end.a_ref is not None:
                own = self._own.of(end.a_ref, self.alignment.known_of_a)
                if own is not None:
                    vague = vague or (own > self._most(b) and _use(numbers, b, own) <= 1)
                    use = min(use, _use(numbers, b, min(own, self._most(b))))
            if best is None or use < best[0]:
                best = use, numbers
        assert best is not None  # alike is not empty
        use, numbers = best
        verdict = _verdict(end, use, numbers, b)
        if end.ref.place in self._lowered and verdict.outcome == "right" and end.a_ref is not None:
            theirs = self._index.made_by.get(end.a_ref)
            kept = not _is_lowered(Entry(end.a_ref, theirs, 0.0, 0))
            if kept and (use > 0 or _lost(to_numpy(self.alignment.b.value(end.ref)), numbers)):
                reason = "it is computed in a lower precision"
                verdict = replace(verdict, outcome="wrong", reason=reason)
        if vague and verdict.outcome == "wrong":
            exactly = self._exactly(end, numbers, b)
            reason = "the rounding of the other model's own calls may be as large"
            if exactly == "":
                return replace(verdict, outcome="unjudged", reason=reason)
            if exactly == "same":
                verdict = replace(verdict, outcome="right", use=1.0)
        unknown = end.ref.place in self._tainted or end.ref.storage in self._replaced
        if unknown and verdict.outcome == "wrong":
            return EndVerdict(end, "unjudged", use, reason="it comes from a call without a bound")
        if end.slot and verdict.outcome == "wrong":
            return EndVerdict(end, "unpaired")  # a keeps something else, which says nothing of b's
        exact = Bounded(numbers.copy(), np.zeros(b.shape), numpy_dtype(end.ref.dtype))
        self._memory.write(end.ref, BoundedTensor(exact, end.ref.dtype))
        return verdict


def _lost(recorded: np.ndarray, numbers: np.ndarray) -> bool:
    """More than half of the digits of float64."""
    gap = np.abs(recorded.astype(np.float64) - numbers.astype(np.float64))
    most = np.abs(numbers[np.isfinite(numbers)]).max(initial=0.0)
    return bool((gap[np.isfinite(gap)] > 2.0**-26.5 * float(most)).any())


def _fits(end: End, wanted: np.ndarray) -> bool:
    """What a model returns has a's shape; of anything else the layout may be another."""
    if end.name.partition(".")[0] == "output" and end.phase == "forward":
        return wanted.shape == end.ref.shape
    return wanted.size == int(np.prod(end.ref.shape, dtype=np.int64))


def _made_outside(end: End, numbers: np.ndarray, b: Bounded) -> EndVerdict:
    """Numbers that no recorded call made have no bound: they are the same, or share half of their
    digits, which rounding may explain, or are others."""
    if np.array_equal(numbers, b.value, equal_nan=True):
        return EndVerdict(end, "right")
    with np.errstate(all="ignore"):
        gap = np.nan_to_num(np.abs(numbers - b.value).astype(np.float64), nan=0.0, posinf=np.inf)
        gap = np.where(np.isnan(numbers) != np.isnan(b.value), np.inf, gap)
        finite = np.abs(b.value[np.isfinite(b.value)])
        allowed = 2.0 ** (-digits(end.ref.dtype) / 2) * float(finite.max(initial=0.0))
    index = tuple(int(i) for i in np.unravel_index(int(gap.argmax()), gap.shape))
    told = (index, float(numbers[index]), float(b.value[index]))
    if gap[index] > allowed:
        return EndVerdict(end, "wrong", np.inf, 0.0, *told)
    reason = "no torch call made it (NumPy or Python did), so it has no bound, and it is not equal"
    return EndVerdict(end, "unjudged", 0.0, 0.0, *told, reason=reason)


class OwnBounds:
    """What a's own roundings may have moved one of its tensors by, since the last tensors that both
    have: where a's formula is another than b's, it rounds otherwise."""

    def __init__(self, a: Record, index: Index, worth_it: float, bits: int) -> None:
        self.worth_it, self._bits = worth_it, bits
        self._record, self._index = a, index
        self._known: dict[TensorRef, float | None] = {}
        self.computed: dict[TensorRef, Bounded] = {}

    def of(self, ref: TensorRef, shared: set[Place]) -> float | None:
        """The greatest bound of an entry; None if there is none."""
        if ref not in self._known:
            self._known[ref] = self._derived(ref, shared)
        return self._known[ref]

    def _derived(self, ref: TensorRef, shared: set[Place]) -> float | None:
        memory = BoundedMemory(self._record)
        memory.keep(ref)
        calls = stretch(self._record, ref, shared - {ref.place})
        if any(lowers(self._record, call, self._bits) for call in calls):
            return 0.0  # digits that a loses and b keeps are no rounding
        try:
            for call in calls:
                if not is_view(call):
                    for out, tensor in zip(
                        call.outputs, expected_of(call, memory.read), strict=False
                    ):
                        memory.write(out, self._record.value(out) if tensor is None else tensor)
            found = memory.read(ref)
        except Unbounded:
            return None
        if not isinstance(found, BoundedTensor):
            return None
        self.computed[ref] = found.bounded
        return float(found.bounded.error.max())


def lowers(record: Record, call: Call, bits: int) -> bool:
    """It casts to a lower precision, and digits are lost."""
    if call.operation not in ("_to_copy", "copy") or not call.inputs:
        return False
    source, made = call.inputs[-1], call.outputs[0]
    if source.unjudged or made.unjudged:
        return False
    if digits(made.dtype) >= min(digits(source.dtype), bits):
        return False
    before, after = record.value(source), record.value(made)
    return not torch.equal(after.to(source.dtype), before.expand(made.shape))


def stretch(record: Record, ref: TensorRef, known: set[Place]) -> list[Call]:
    """The calls that make a tensor from what is known, in order."""
    writers = writers_of(record)
    todo, seen, found = [ref.place], set(), set()
    while todo:
        place = todo.pop()
        if place in seen or place in known:
            continue
        seen.add(place)
        call = writers.get(place)
        if call is None:
            continue
        found.add(call.index)
        todo += [r.place for r in call.inputs]
        if place[1]:
            todo.append((place[0], place[1] - 1))
    return [record.calls[i] for i in sorted(found)]


def writers_of(record: Record) -> dict[Place, Call]:
    """The call that wrote each version of each storage."""
    found: dict[Place, Call] = {}
    for call in record.calls:
        if not is_view(call):
            for ref in call.outputs:
                found.setdefault(ref.place, call)
    return found


def _same_arguments(first: list[Any], second: list[Any]) -> bool:
    try:
        return first == second
    except Exception:  # an object that cannot be compared, such as packed quantized weights
        return False


def is_view(call: Call) -> bool:
    """It returns memory that it was given, unchanged."""
    given = {ref.place for ref in call.inputs}
    return bool(call.outputs) and all(ref.place in given for ref in call.outputs)


def _is_lowered(entry: Entry) -> bool:
    """It is of a lower precision, or made of a tensor that is."""
    refs = [entry.ref, *(entry.call.inputs if entry.call else ())]
    return any(digits(r.dtype) < digits(torch.float64) for r in refs)


def _known(b: Bounded) -> bool:
    finite = np.isfinite(b.value)
    if not np.isfinite(b.error[finite]).all():
        return False
    largest = float(np.abs(b.value[finite]).max(initial=0.0))
    return float(b.error[finite].max(initial=0.0)) <= KNOWN_ENOUGH * largest or largest == 0


def _use(numbers: np.ndarray, b: Bounded, more: float) -> float:
    """The greatest gap in units of the bound."""
    with np.errstate(all="ignore"):
        same = (numbers == b.value) | (np.isnan(numbers) & np.isnan(b.value))
        gap = np.abs(numbers - b.value).astype(np.float64)
        # an entry without a bound is no proof; one that has to be nan is
        settled = same | (gap == 0) | (~np.isfinite(b.error) & ~np.isnan(b.value))
        uses = np.where(settled, 0.0, gap / (b.error + more))
    uses = np.where(np.isnan(uses), np.inf, uses)
    return float(uses.max(initial=0.0))


def _same_multiset(numbers: np.ndarray, b: Bounded) -> bool:
    """Whether another order of the numbers may lie within the bounds."""
    first, second = np.sort(numbers, axis=None), np.sort(b.value, axis=None)
    with np.errstate(all="ignore"):
        gap = np.abs(first - second)
    finite = np.isfinite(gap)
    return bool((gap[finite] <= 2 * b.error.max(initial=0.0)).all())


def _verdict(end: End, use: float, numbers: np.ndarray, b: Bounded) -> EndVerdict:
    with np.errstate(all="ignore"):
        gap = np.where(numbers == b.value, 0.0, np.abs(numbers - b.value).astype(np.float64))
        settled = (gap == 0) | (np.isnan(numbers) & np.isnan(b.value))
        settled |= ~np.isfinite(b.error) & ~np.isnan(b.value)
        uses = np.where(settled, 0.0, gap / b.error)
    uses = np.where(np.isnan(uses), np.inf, uses)
    at = np.unravel_index(int(uses.argmax()), uses.shape)
    largest = float(np.abs(b.value[np.isfinite(b.value)]).max(initial=0.0))
    power = float(b.error.max(initial=0.0)) / largest if largest else np.inf
    index = tuple(int(i) for i in at)
    reach = float(b.error.max(initial=0.0))
    told = (float(numbers[index]), float(b.value[index]), float(b.error[index]), reach)
    if use > 1:
        return EndVerdict(end, "wrong", use, power, index, *told)
    if not np.isfinite(b.error[np.isfinite(b.value)]).all():
        return EndVerdict(end, "unjudged", use, power, index, *told, "an entry has no bound")
    if np.isnan(b.value).any():
        return EndVerdict(end, "unjudged", reason="it holds nan on both sides, which shows nothing")
    return EndVerdict(end, "right", use, power, index, *told)
