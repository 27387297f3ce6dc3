"""The tensors of a recorded step in a file: each is read when it is needed, and none is kept."""

from collections.abc import Mapping

from torch import Tensor

from torch_parity.compare.aten.snapshots import TensorRef, tensor_from
from torch_parity.compare.sources.files.stored import Entry


class StoredTensors:
    """Every storage of a step by (storage, version), each a flat tensor of a file."""

    def __init__(self, entries: Mapping[tuple[int, int], Entry]) -> None:
        self._entries = entries

    def value(self, ref: TensorRef) -> Tensor:
        """A copy of the numbers.

        Raises:
            InputError: the file does not hold them any more.
        """
        if ref.unjudged:
            raise ValueError(f"a {ref.unjudged} has no numbers to read")
        return tensor_from(ref, self._read)

    def nbytes_of(self, ref: TensorRef) -> int:
        """The size of the storage that the tensor lies in."""
        entry = self._entries[ref.place]
        return entry.size * entry.dtype.itemsize

    def _read(self, ref: TensorRef, start: int, count: int) -> bytes:
        return self._entries[ref.place].part(start, count)
