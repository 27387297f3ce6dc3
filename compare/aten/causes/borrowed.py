"""a's numbers for the tensors that both have, in b's layout."""

import numpy as np

from torch_parity.compare.aten.alignment import Alignment
from torch_parity.compare.aten.memory import Place
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.bounds.precise import higher
from torch_parity.compare.tensors import to_numpy


class Borrowed:
    """a's numbers for the tensors of b that both have, by the place of b's."""

    def __init__(self, alignment: Alignment) -> None:
        self._alignment = alignment
        self._refs: dict[Place, list[TensorRef]] = {}
        for ref in alignment.shared:
            if ref.dtype.is_floating_point:
                self._refs.setdefault(ref.place, []).append(ref)

    def at(self, place: Place) -> list[tuple[TensorRef, np.ndarray]]:
        """What both have there, in b's layout."""
        found = []
        for ref in self._refs.get(place, ()):
            array = self._in_layout(ref)
            if array is not None:
                found.append((ref, array.astype(higher(array.dtype))))
        return found

    def _in_layout(self, ref: TensorRef) -> np.ndarray | None:
        """a's numbers for a tensor of b that both have, in b's layout."""
        alignment = self._alignment
        array = to_numpy(alignment.a.value(alignment.shared[ref]))
        for verdict in alignment.ends:
            if verdict.end.ref == ref and verdict.end.wanted:
                array = verdict.end.wanted[0]
        order = alignment.orders.get(ref)
        if order is not None:
            array = array.transpose(order)
        if array.size != int(np.prod(ref.shape, dtype=np.int64)):
            return None
        return array.reshape(ref.shape)
