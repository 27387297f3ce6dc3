"""A result of both models, computed from tensors that they have in common further back.

A tensor that both have may be on the way to a result in two ways: its mean, which is zero but for
rounding, is subtracted in one model and not in the other. Then what was rounded in that tensor, by
no more than its own bound, changes one result and not the other. Bounds that begin at earlier
tensors hold that rounding as well.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from torch_parity.compare.aten.alignment import Alignment
from torch_parity.compare.aten.draws import RANDOM, UNINITIALISED
from torch_parity.compare.aten.index import Index, tables_of
from torch_parity.compare.aten.memory import BoundedMemory, Place
from torch_parity.compare.aten.own_bounds import computed_from, loses_digits
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.aten.writers import stretch, writers_of
from torch_parity.compare.bounds.bounded import Bounded


@dataclass(frozen=True)
class Reach:
    """Both sides' bounds of a result from the same tensors; known_of_a is where a has these."""

    of_a: Bounded
    of_b: Bounded
    known_of_a: Collection[Place]

    @property
    def error(self) -> np.ndarray:
        """What rounding on both sides may make of it, entry by entry; a's has the same layout."""
        return np.asarray(self.of_a.error.reshape(self.of_b.shape) + self.of_b.error)


class FurtherBack:
    """The tensors that two records have in common, less those nearest to a result."""

    def __init__(self, alignment: Alignment, index: Index, ref: TensorRef, of_a: TensorRef) -> None:
        self._alignment = alignment
        self._ref, self._ref_of_a = ref, of_a
        self._known = alignment.known - {ref.place}
        self._known_of_a = alignment.known_of_a - {of_a.place}
        self._made, self._made_of_a = _computed(alignment.b), _computed(alignment.a)
        self._refs: dict[Place, list[TensorRef]] = defaultdict(list)
        self._copies: dict[Place, set[Place]] = defaultdict(set)
        for of_b, shared in alignment.shared.items():
            self._refs[of_b.place].append(of_b)
            self._copies[of_b.place] |= {copy.place for copy in index.copies(shared)}

    def reaches(self, bits: int) -> Iterator[Reach]:
        """Bounds from twice as far back each time, until all is computed from what was given; bits
        are the models' own."""
        steps = 1
        while sum(self._step() for _ in range(steps)):
            found = self._reach(bits)
            if found is None:
                return
            yield found
            steps *= 2

    def _step(self) -> bool:
        """Leave out the computed tensors that the result is made from. False if there are none."""
        a, b = self._alignment.a, self._alignment.b
        drop = _leaves(b, self._ref, self._known) & self._made
        of_a = _leaves(a, self._ref_of_a, self._known_of_a) & self._made_of_a
        drop |= {p for p in self._known & self._made if self._copies[p] & of_a}
        of_a |= set().union(*(self._copies[p] for p in drop)) & self._made_of_a
        self._known -= drop
        self._known_of_a -= of_a
        return bool(drop or of_a)

    def _reach(self, bits: int) -> Reach | None:
        a, b = self._alignment.a, self._alignment.b
        if loses_digits(a, self._ref_of_a, self._known_of_a, bits):
            return None
        if loses_digits(b, self._ref, self._known, bits):
            return None
        memory = BoundedMemory(b)
        for place in _leaves(b, self._ref, self._known) & self._made:
            for ref in self._refs[place]:
                memory.write(ref, self._numbers_of_a(ref))
        in_a = computed_from(a, self._ref_of_a, self._known_of_a, BoundedMemory(a))
        in_b = computed_from(b, self._ref, self._known, memory)
        return None if in_a is None or in_b is None else Reach(in_a, in_b, set(self._known_of_a))

    def _numbers_of_a(self, ref: TensorRef) -> torch.Tensor:
        value = self._alignment.a.value(self._alignment.shared[ref])
        order = self._alignment.orders.get(ref)
        return (value if order is None else value.permute(order)).reshape(ref.shape)


def _computed(record: Record) -> set[Place]:
    """Memory that holds real numbers computed from what was given."""
    tables = {ref.place for ref in tables_of(record)}
    return {
        ref.place
        for place, call in writers_of(record).items()
        if call.operation not in RANDOM and call.operation not in UNINITIALISED
        for ref in call.outputs
        if ref.place == place and ref.dtype.is_floating_point and place not in tables
    }


def _leaves(record: Record, ref: TensorRef, known: set[Place]) -> set[Place]:
    """What is known and the tensor is made from."""
    found: set[Place] = set()
    for call in stretch(record, ref, known):
        found |= {r.place for r in call.inputs}
        found |= {(r.storage, r.version - 1) for r in call.outputs}
    return found & known
