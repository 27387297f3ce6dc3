"""Tables that one model stores and the other computes, such as the angles of rotary positions.

A step in float64 computes a table to more digits than float32 has, which a stored one has lost. The
two are the same if the stored numbers are what the calls may make in float32, in whatever order.
"""

from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch

from torch_parity.compare.aten.index import MOST_ENTRIES, data_of, tables_of
from torch_parity.compare.aten.memory import BoundedMemory
from torch_parity.compare.aten.own_bounds import computed_from
from torch_parity.compare.aten.record import Call, Record
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.aten.writers import writers_of
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.tensors import BoundedTensor
from torch_parity.compare.tensors import to_numpy
from torch_parity.compare.torch_private import mapped

LESS = {torch.float64: torch.float32, torch.complex128: torch.complex64}
BY_CHANCE = 1e-9


class Table(NamedTuple):
    """A table with all its digits, and what it may be in float32: rounded +- error."""

    exact: np.ndarray
    rounded: np.ndarray
    error: np.ndarray

    def flat(self) -> "Table":
        """In one row."""
        return Table(*(x.ravel() for x in self))

    def parts(self) -> list["Table"]:
        """The first and the second of each pair, of a table that holds pairs."""
        pairs = self.exact.ndim > 1 and self.exact.shape[-1] == 2
        return [Table(*(x[..., i] for x in self)) for i in (0, 1)] if pairs else []


def found_among(tables: list[Table], wanted: Table) -> np.ndarray | None:
    """The digits that others have for a table: those of one that is the same entry by entry, also
    of pairs, or else those of the nearest numbers of any; None if one of its numbers is missing, or
    if numbers like these would be found by chance."""
    if (found := _as_a_whole(tables, wanted)) is not None:
        return found
    parts = [_as_a_whole(tables, part) for part in wanted.parts()]
    if parts and all(part is not None for part in parts):
        return np.stack(parts, -1)  # type: ignore[arg-type]
    return _one_by_one(tables, wanted)


def _as_a_whole(tables: list[Table], wanted: Table) -> np.ndarray | None:
    shape = wanted.exact.squeeze().shape
    for table in (t for one in tables for t in (one, *one.parts())):
        if table.exact.squeeze().shape != shape:
            continue
        ours, asked = table.flat(), wanted.flat()
        allowed = ours.error + asked.error
        fits = np.abs(ours.rounded - asked.rounded) <= allowed
        if fits.all() and _chance(asked, allowed, 1) < BY_CHANCE:
            return ours.exact.reshape(wanted.exact.shape)
    return None


def _one_by_one(tables: list[Table], wanted: Table) -> np.ndarray | None:
    if not tables:
        return None
    ours = Table(*(np.concatenate([x.ravel() for x in of]) for of in zip(*tables, strict=True)))
    ours, asked = Table(*(x[np.argsort(ours.rounded)] for x in ours)), wanted.flat()
    at = np.searchsorted(ours.rounded, asked.rounded)
    before, after = (np.clip(at + i, 0, ours.exact.size - 1) for i in (-1, 0))
    gaps = [np.abs(ours.rounded[i] - asked.rounded) for i in (before, after)]
    best = np.where(gaps[0] <= gaps[1], before, after)
    allowed = ours.error[best] + asked.error
    if not (np.minimum(*gaps) <= allowed).all():
        return None
    if _chance(asked, allowed, ours.exact.size) >= BY_CHANCE:
        return None
    return np.asarray(ours.exact[best].reshape(wanted.exact.shape))


def _chance(asked: Table, allowed: np.ndarray, among: int) -> float:
    """That as many different numbers, drawn from the same range, are all found among so many."""
    different, first = np.unique(asked.rounded, return_index=True)
    reach = max(float(np.ptp(different)), 1e-30)
    covered = among * 2 * (allowed[first] + 1e-7 * np.abs(different)) / reach
    return float(np.prod(np.minimum(covered, 1.0)))


class StoredTables:
    """The tables of a step in float64: those that it was given, and those that it computes."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._computed = {r for r in tables_of(record) if _may_be_a_table(r)}
        self._data, self._made = data_of(record), writers_of(record).keys()

    def is_given(self, ref: TensorRef) -> bool:
        """Stored in the model: computed by no call, and neither an input nor a weight."""
        return _may_be_a_table(ref) and ref.place not in self._made and ref.place not in self._data

    def is_computed(self, ref: TensorRef) -> bool:
        """From no input and no weight."""
        return ref in self._computed

    def stored(self, ref: TensorRef) -> Table:
        """A given one, which is in float32 what it is."""
        exact = to_numpy(self._record.value(ref))
        return Table(exact, exact, np.zeros(exact.shape))

    def in_float32(self, ref: TensorRef) -> Table | None:
        """A computed one, with what its calls may make in float32; None if that has no bound."""
        memory = _Float32Memory(self._record)
        b = computed_from(self._record, ref, (), memory, _in_float32)
        if b is None or not np.isfinite(b.error).all():
            return None
        rounded = b.value.astype(np.float64)
        return Table(to_numpy(self._record.value(ref)), rounded, b.error)

    @cached_property
    def all_given(self) -> list[Table]:
        """All that were given."""
        read = [ref for call in self._record.calls for ref in call.inputs if self.is_given(ref)]
        return [*map(self.stored, dict.fromkeys(read))]

    @cached_property
    def all_computed(self) -> list[Table]:
        """All that are computed and have a bound in float32."""
        found = map(self.in_float32, self._computed)
        return [table for table in found if table is not None]


def _may_be_a_table(ref: TensorRef) -> bool:
    size = int(np.prod(ref.shape, dtype=np.int64))
    return ref.dtype == torch.float64 and not ref.unjudged and 1 < size <= MOST_ENTRIES


class _Float32Memory(BoundedMemory):
    """What is read from it is of float32."""

    def read(self, ref: TensorRef) -> Any:
        """The tensor, bounded as one of float32 if it is of real numbers."""
        found = super().read(ref)
        if not isinstance(found, BoundedTensor):
            return found
        b = found.bounded
        return BoundedTensor(Bounded(b.value, b.error, np.dtype(np.float32)), torch.float32)


def _in_float32(call: Call) -> Call:
    """The call, making float32 where it says float64."""
    less = mapped(
        lambda x: LESS.get(x, x) if isinstance(x, torch.dtype) else x, (call.args, call.kwargs)
    )
    return replace(call, args=less[0], kwargs=less[1])
