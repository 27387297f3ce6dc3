"""One model's calls from the last tensors that both have, on bounded numbers."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.borrowed import Borrowed
from torch_parity.compare.aten.causes.numbers import bounded, fits_somehow, is_constant
from torch_parity.compare.aten.draws import RANDOM, UNINITIALISED
from torch_parity.compare.aten.memory import BoundedMemory, Place
from torch_parity.compare.aten.naming import TensorNames
from torch_parity.compare.aten.parting import leading_to
from torch_parity.compare.aten.record import Call, Record
from torch_parity.compare.aten.replay import expected_of
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.aten.writers import is_view, writers_of
from torch_parity.compare.bounds.tensors import BoundedTensor, Unbounded
from torch_parity.compare.torch_private import flattened, mapped

MOST_CALLS = 48  # of a stretch
MOST_AFTER = 10  # calls that are computed again after a swap


@dataclass(frozen=True)
class Made:
    """A tensor of one side; call made it, or reads it where both have it (common)."""

    ref: TensorRef
    tensor: BoundedTensor
    call: Call
    common: bool = False


class Side:
    """One model's calls from the last tensors that both have."""

    def __init__(
        self,
        called: str,
        record: Record,
        calls: Iterable[Call],
        borrowed: Borrowed | None = None,
        known: Collection[Place] = (),
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """borrowed are the other model's numbers, to be taken for what both have; known is where
        that is."""
        self.known = known
        self.called = called
        self.record = record
        self.calls = [c for c in calls if not is_view(c)][:MOST_CALLS]
        self.options = options or {}
        self.names = TensorNames(record)
        self.memory = BoundedMemory(record)
        self.made: list[Made] = []
        self.dead: set[Place] = set()
        self._borrowed = borrowed
        self._given_places = {ref.place for ref in record.given.values()}
        for call in self.calls:
            self._compute(call)

    def _borrow(self, call: Call) -> None:
        """What the call reads, and what it writes into."""
        for ref in call.inputs:
            self._has(ref.place)
        for ref in call.outputs:
            self._has((ref.storage, ref.version - 1))

    def _has(self, place: Place) -> bool:
        """Whether the numbers at a place are those of both, or were computed from such."""
        if self._borrowed is None or place in self.memory or place in self._given_places:
            return True
        arrays = self._borrowed.at(place)
        for ref, array in arrays:
            self.memory.write(ref, numbers.with_error(array, 0.0, ref.dtype))
        return bool(arrays)

    def _compute(self, call: Call) -> None:
        self._borrow(call)
        outputs = self._outputs(call, self.memory)
        if outputs is None:
            self.dead |= {ref.place for ref in call.outputs}
            return
        for ref, tensor in zip(call.outputs, outputs, strict=False):
            if ref.unjudged:
                continue
            self.memory.write(ref, tensor)
            found = bounded(tensor)
            if found is not None:
                self.made.append(Made(ref, found, call))

    def _outputs(
        self, call: Call, memory: BoundedMemory, swapped: Mapping[TensorRef, Any] | None = None
    ) -> list[Any] | None:
        """Bounded outputs; None where there are none."""
        refs = (*call.inputs, *call.outputs)
        if any(r.unjudged for r in refs) or any(r.place in self.dead for r in call.inputs):
            return None
        recorded = self.record.value
        if call.operation in RANDOM or call.operation in UNINITIALISED:
            return [recorded(r) for r in call.outputs]
        swapped = swapped or {}
        try:
            found = expected_of(call, lambda r: swapped[r] if r in swapped else memory.read(r))
        except Unbounded:
            return None
        return [recorded(r) if x is None else x for r, x in zip(call.outputs, found, strict=False)]

    def read(self, ref: TensorRef) -> Any:
        """A tensor as one of the calls reads it."""
        return self.memory.read(ref)

    def number(self, ref: TensorRef) -> BoundedTensor | None:
        """A tensor of real numbers, as one of the calls reads it."""
        if ref.unjudged or ref.place in self.dead or not ref.dtype.is_floating_point:
            return None
        if not self._has(ref.place):
            return None
        return bounded(self.memory.read(ref))

    def whole(self, ref: TensorRef) -> TensorRef | None:
        """The tensor that was made, of which a call reads a part, or in another order."""
        call = self.maker(ref)
        made = [] if call is None else [o for o in call.outputs if o.place == ref.place]
        return made[0] if made and made[0] != ref else None

    def derived(self, ref: TensorRef) -> BoundedTensor | None:
        """A result, computed from what both have if it is not among that."""
        known = self.number(ref) if self._borrowed is not None else None
        if known is not None:
            return known
        for call in leading_to(self.record, ref, self.known)[:MOST_CALLS]:
            if not is_view(call) and not all(o.place in self.memory for o in call.outputs):
                self._borrow(call)
                outputs = self._outputs(call, self.memory)
                if outputs is None:
                    return None
                for out, tensor in zip(call.outputs, outputs, strict=False):
                    self.memory.write(out, tensor)
        return bounded(self.memory.read(ref)) if ref.place in self.memory else self.number(ref)

    def comes_through(self, ref: TensorRef, place: Place) -> bool:
        """Whether a tensor was computed from what is at a place."""
        seen: set[Place] = set()
        todo = [ref.place]
        while todo and len(seen) < 200:
            at = todo.pop()
            if at == place:
                return True
            call = self.writers.get(at)
            if at in seen or call is None:
                continue
            seen.add(at)
            todo += [r.place for r in call.inputs]
        return False

    def comes_from(self, ref: TensorRef, operations: set[str]) -> Call | None:
        """The call of one of these kinds that a tensor comes from, through a few calls."""
        todo = [ref]
        for _ in range(20):
            call = self.maker(todo.pop(0)) if todo else None
            if call is None:
                continue
            if call.operation in operations:
                return call
            todo += call.inputs
        return None

    def maker(self, ref: TensorRef) -> Call | None:
        """The call of the whole record that made a tensor."""
        return self.writers.get(ref.place)

    @cached_property
    def writers(self) -> dict[Place, Call]:
        """The call that wrote each version of each storage."""
        return writers_of(self.record)

    def readers(self, ref: TensorRef) -> list[Call]:
        """The calls of the stretch that read a tensor."""
        return [c for c in self.calls if any(r.place == ref.place for r in c.inputs)]

    @cached_property
    def common(self) -> list[Made]:
        """Tensors of real numbers that the calls read and did not make, once each."""
        found: dict[TensorRef, Made] = {}
        made = {ref.place for c in self.calls for ref in c.outputs}
        for call in self.calls:
            for ref in call.inputs:
                if ref.place in made or ref in found:
                    continue
                tensor = self.number(ref)
                if tensor is not None and tensor.numel():
                    found[ref] = Made(ref, tensor, call, common=True)
        return list(found.values())

    def given_name(self, ref: TensorRef) -> str:
        """The name of a given tensor; "" if it was computed."""
        return self._given.get(ref.place, "")

    @cached_property
    def _given(self) -> dict[Place, str]:
        return {ref.place: name for name, ref in reversed(self.record.given.items())}

    def find(self, tensor: BoundedTensor | None) -> Made | None:
        """The first tensor made here with these numbers."""
        if tensor is None or is_constant(tensor) or not numbers.is_sharp(tensor):
            return None
        for made in self.made:
            if made.tensor.dtype == tensor.dtype and fits_somehow(tensor, made.tensor):
                return made
        return None

    def again(self, call: Call, swapped: Mapping[TensorRef, Any]) -> list[BoundedTensor]:
        """The outputs of a call with other tensors in the place of some that it reads."""
        outputs = self._outputs(call, self.memory, swapped)
        return [b for b in map(bounded, outputs or []) if b is not None]

    def uncast(self, call: Call, swapped: Mapping[TensorRef, Any]) -> list[BoundedTensor]:
        """The outputs of a call with tensors of a higher precision."""
        args, kwargs = mapped(
            lambda x: swapped.get(x, self.read(x)) if isinstance(x, TensorRef) else x,
            (call.args, dict(call.kwargs)),
        )
        if call.operation == "_to_copy":
            return [args[0]]
        try:
            with torch.no_grad():
                found = flattened(call.overload(*args, **kwargs))
        except (Unbounded, NotImplementedError, RuntimeError, TypeError, ValueError):
            return []
        return [b for b in map(bounded, found) if b is not None]

    def with_arguments(self, call: Call, args: tuple[Any, ...], **kwargs: Any) -> list[Any]:
        """The outputs of the call with other arguments."""
        other = copy(call)
        other.args, other.kwargs = args, {**call.kwargs, **kwargs}
        outputs = self._outputs(other, self.memory)
        return [b for b in map(bounded, outputs or []) if b is not None]

    def onwards(self, ref: TensorRef, tensor: BoundedTensor) -> Iterator[Made]:
        """What the stretch makes after a tensor is replaced, for a few calls."""
        memory = copy(self.memory)
        memory._flat = dict(self.memory._flat)
        memory._flat.pop(ref.place, None)
        before = self.memory._flat.get(ref.place)
        if before is not None:
            error = None if before.error is None else before.error.copy()
            memory._flat[ref.place] = type(before)(before.value.copy(), error)
        memory.write(ref, tensor)
        changed, left = {ref.place}, MOST_AFTER
        for call in self.calls:
            if not any(r.place in changed for r in call.inputs):
                continue
            if any(r.place == ref.place for r in call.outputs):
                continue
            left -= 1
            outputs = self._outputs(call, memory)
            for out in call.outputs:
                changed.add(out.place)
                memory._flat.pop(out.place, None)
            for out, new in zip(call.outputs, outputs or [], strict=False):
                memory.write(out, new)
                found = bounded(new)
                if found is not None:
                    yield Made(out, found, call)
            if outputs is None or not left:
                return
