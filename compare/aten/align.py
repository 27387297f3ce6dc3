"""Two records that share no names, aligned by their numbers.

b's calls are computed again from a's numbers. Wherever the bounded result lies around a tensor of
a's, the two are the same tensor, and a's numbers stand for it from there on; so each stretch of b's
calls, from tensors that both have to the next one that both have, is held to its own bound. What
has no counterpart in a carries its bound on. In the end every result of b has to lie around the
result of a that it stands for.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch_parity.compare.aten.alignment import Alignment
from torch_parity.compare.aten.common_numbers import CommonNumbers
from torch_parity.compare.aten.counterparts import Counterparts
from torch_parity.compare.aten.draws import RANDOM, UNINITIALISED
from torch_parity.compare.aten.ends import End
from torch_parity.compare.aten.lowered import lowers
from torch_parity.compare.aten.record import Call, Record
from torch_parity.compare.aten.replay import expected_of, require_known_nan
from torch_parity.compare.aten.results import Results
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.aten.writers import is_view
from torch_parity.compare.bounds.tensors import Unbounded
from torch_parity.compare.torch_private import flattened


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
    common = CommonNumbers(a, b, own)
    for ref, of_a in given.items():
        common.share(ref, of_a)
        common.alignment.known.add(ref.place)
    walk = _Walk(common, ends)
    for call in b.calls:
        walk.compute(call)
        tick()
    walk.results.judge_rest()
    order = {id(end): i for i, end in enumerate(ends)}
    common.alignment.ends.sort(key=lambda v: order[id(v.end)])
    return common.alignment


class _Walk:
    def __init__(self, common: CommonNumbers, ends: list[End]) -> None:
        self.results = Results(common, ends)
        self._common = common
        self._alignment = common.alignment
        self._counterparts = Counterparts(common)
        self._unseen = set(common.alignment.b.unseen)

    def compute(self, call: Call) -> None:
        """The call's outputs from what is known, and their counterparts in a."""
        self._read(call)
        if is_view(call):
            return
        outputs = self._outputs(call)
        if call.operation == "set":
            self._common.replaced |= {ref.storage for ref in call.outputs}
        self._mark_lowered(call)
        for ref, tensor in zip(call.outputs, outputs, strict=False):
            if ref.unjudged:
                continue
            self._common.memory.write(ref, tensor)
            if not self.results.judge(ref.place):
                self._counterparts.match_made(call, ref, tensor)
        self._common.memory.forget(call)

    def _read(self, call: Call) -> None:
        """What the call reads and no recorded call has made."""
        for ref in call.inputs:
            self._counterparts.match_given(ref)
            if ref.place in self._unseen:
                self._unseen.discard(ref.place)
                self.results.judge(ref.place)  # of a result it is known what it has to be
                if ref.place not in self._alignment.known:
                    self._counterparts.match_unseen(ref)

    def _mark_lowered(self, call: Call) -> None:
        lowered = self._common.lowered
        if any(r.place in lowered for r in call.inputs) or lowers(
            self._alignment.b, call, self._common.bits
        ):
            lowered |= {ref.place for ref in call.outputs}

    def _outputs(self, call: Call) -> list[Any]:
        recorded = self._alignment.b.value
        if call.operation in RANDOM or call.operation in UNINITIALISED:
            return [None if r.unjudged else recorded(r) for r in call.outputs]
        tainted = any(ref.place in self._common.tainted for ref in call.inputs)
        try:
            opaque = next((r.unjudged for r in (*call.inputs, *call.outputs) if r.unjudged), "")
            if opaque:
                raise Unbounded(f"{call.operation}: {opaque}")
            outputs = expected_of(call, self._common.memory.read)
            require_known_nan(self._alignment.b, call, outputs)
        except Unbounded as error:
            self._alignment.unbounded[call.index] = str(error)
            of_a = self._same_call(call)
            outputs = [None for _ in call.outputs] if of_a is None else of_a
            tainted = tainted or of_a is None
        if tainted:
            self._common.tainted |= {ref.place for ref in call.outputs}
        return [
            recorded(ref) if x is None and not ref.unjudged else x
            for ref, x in zip(call.outputs, outputs, strict=False)
        ]

    def _same_call(self, call: Call) -> list[Any] | None:
        """What the same call made in a, of the same tensors; None if a has no such call."""
        shared, a = self._alignment.shared, self._alignment.a
        wanted = flattened((call.args, dict(call.kwargs)))
        wanted = [shared.get(x) if isinstance(x, TensorRef) else x for x in wanted]
        for other in a.calls:
            shapes = [r.shape for r in other.outputs]
            alike = other.overload is call.overload
            alike = alike and shapes == [r.shape for r in call.outputs]
            if alike and _same_arguments(flattened((other.args, dict(other.kwargs))), wanted):
                return [None if r.unjudged else a.value(r) for r in other.outputs]
        return None


def _same_arguments(first: list[Any], second: list[Any]) -> bool:
    try:
        return first == second
    except Exception:  # an object that cannot be compared, such as packed quantized weights
        return False
