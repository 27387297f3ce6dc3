"""What the first model's own calls may have rounded."""

from collections.abc import Callable, Collection

from torch_parity.compare.aten.lowered import lowers
from torch_parity.compare.aten.memory import BoundedMemory, Place
from torch_parity.compare.aten.record import Call, Record
from torch_parity.compare.aten.replay import expected_of
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.aten.writers import is_view, stretch
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.tensors import BoundedTensor, Unbounded


class OwnBounds:
    """What a's own roundings may have moved one of its tensors by, since the last tensors that both
    have: where a's formula is another than b's, it rounds otherwise."""

    def __init__(self, a: Record, bits: int) -> None:
        self._record, self._bits = a, bits
        self._known: dict[TensorRef, float | None] = {}
        self.computed: dict[TensorRef, Bounded] = {}

    def of(self, ref: TensorRef, shared: set[Place]) -> float | None:
        """The greatest bound of an entry; None if there is none."""
        if ref not in self._known:
            self._known[ref] = self._derived(ref, shared)
        return self._known[ref]

    def _derived(self, ref: TensorRef, shared: set[Place]) -> float | None:
        memory = BoundedMemory(self._record)
        known = shared - {ref.place}
        if loses_digits(self._record, ref, known, self._bits):
            return 0.0  # digits that a loses and b keeps are no rounding
        found = computed_from(self._record, ref, known, memory)
        if found is None:
            return None
        self.computed[ref] = found
        return float(found.error.max())


def loses_digits(record: Record, ref: TensorRef, known: Collection[Place], bits: int) -> bool:
    """Whether a call between what is known and the tensor casts to a lower precision."""
    return any(lowers(record, call, bits) for call in stretch(record, ref, known))


def computed_from(
    record: Record,
    ref: TensorRef,
    known: Collection[Place],
    memory: BoundedMemory,
    changed: Callable[[Call], Call] = lambda call: call,
) -> Bounded | None:
    """The tensor, computed with bounds from what is known, which is exact; None if a call on the
    way has no bound. memory holds the known numbers that are others than the recorded ones; changed
    says what is called in the place of a call."""
    memory.keep(ref)
    try:
        for call in stretch(record, ref, known):
            if not is_view(call):
                made = expected_of(changed(call), memory.read)
                for out, tensor in zip(call.outputs, made, strict=False):
                    memory.write(out, record.value(out) if tensor is None else tensor)
        found = memory.read(ref)
    except Unbounded:
        return None
    return found.bounded if isinstance(found, BoundedTensor) else None
