"""What the first model's own calls may have rounded."""

from torch_parity.compare.aten.lowered import lowers
from torch_parity.compare.aten.memory import BoundedMemory, Place
from torch_parity.compare.aten.record import Record
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
        memory.keep(ref)
        calls = stretch(self._record, ref, shared - {ref.place})
        if any(lowers(self._record, call, self._bits) for call in calls):
            return 0.0  # digits that a loses and b keeps are no rounding
        try:
            for call in calls:
                if not is_view(call):
                    made = expected_of(call, memory.read)
                    for out, tensor in zip(call.outputs, made, strict=False):
                        memory.write(out, self._record.value(out) if tensor is None else tensor)
            found = memory.read(ref)
        except Unbounded:
            return None
        if not isinstance(found, BoundedTensor):
            return None
        self.computed[ref] = found.bounded
        return float(found.bounded.error.max())
