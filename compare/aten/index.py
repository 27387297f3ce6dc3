"""The tensors of a record, to be found by their numbers."""

import hashlib
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import torch

from torch_parity.compare.aten.draws import RANDOM, UNINITIALISED
from torch_parity.compare.aten.memory import Place, digits
from torch_parity.compare.aten.record import Call, Record
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.aten.writers import uninitialised
from torch_parity.compare.bounds.precise import higher
from torch_parity.compare.tensors import to_numpy

MOST_DIMENSIONS = 4
MOST_ENTRIES = 1 << 16  # of a table
MOST_HELD = 1 << 26  # bytes of tensors that stay in memory


@dataclass(frozen=True)
class Entry:
    """A tensor of real numbers: its reference, the call that made it (None: it was given), and the
    largest size among its numbers, which no permutation changes."""

    ref: TensorRef
    call: Call | None
    largest: float
    order: int


class Index:
    """Every tensor of real numbers that a record holds, by size and largest number, but for memory
    that nothing was written into."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._values: dict[TensorRef, np.ndarray] = {}  # those that were read last
        self._held = 0
        self._by_size: dict[tuple[int, Any], list[Entry]] = defaultdict(list)
        self._contents: dict[TensorRef, tuple[Any, ...]] = {}
        self._by_content: dict[tuple[Any, ...], list[TensorRef]] = defaultdict(list)
        self.made_by: dict[TensorRef, Call] = {}
        self._tables: dict[Any, dict[bytes, list[TensorRef]]] = {}
        # what was there before may be numbers that another model left in the same memory
        self._unwritten = uninitialised(record)
        seen: set[TensorRef] = set()
        for ref in record.given.values():
            self._add(ref, None, seen)
        for call in record.calls:
            for ref in call.inputs:
                self._add(ref, None, seen)
            for ref in call.outputs:
                self.made_by.setdefault(ref, call)
                self._add(ref, call, seen)
        for entries in self._by_size.values():
            entries.sort(key=lambda e: e.largest)
        self._keys = {key: [e.largest for e in es] for key, es in self._by_size.items()}

    def value(self, ref: TensorRef) -> np.ndarray:
        """The numbers, in the precision that the judge computes in."""
        if ref in self._values:
            return self._values[ref]
        found = to_numpy(self._record.value(ref))
        with np.errstate(invalid="ignore"):  # memory that nothing was written into
            found = found.astype(higher(found.dtype))
        self._values[ref] = found
        self._held += found.nbytes
        while self._held > MOST_HELD and len(self._values) > 1:
            self._held -= self._values.pop(next(iter(self._values))).nbytes
        return found

    def like(self, value: np.ndarray, error: np.ndarray, dtype: Any) -> Iterator[Entry]:
        """Tensors that may hold these numbers, in any order: the largest is as large."""
        key = value.size, dtype
        if key not in self._by_size:
            return
        largest, slack = _largest(value), float(error.max()) + 1e-300
        keys = self._keys[key]
        low, high = bisect_left(keys, largest - 2 * slack), bisect_right(keys, largest + 2 * slack)
        yield from self._by_size[key][low:high]

    def near(self, value: np.ndarray, dtype: Any) -> Iterator[Entry]:
        """Tensors whose largest number shares half of its digits with that of these, as made by
        another formula; first those that a recorded call made."""
        most = _largest(value)
        slack = most * 2.0 ** (-digits(dtype) / 2)
        found = list(self.like(value, np.array([slack]), dtype))
        yield from sorted(found, key=lambda e: (e.call is None, e.order))

    def exactly(self, tensor: torch.Tensor, ref: TensorRef) -> TensorRef | None:
        """The first tensor with the same integers or truths, of the same shape and type."""
        if ref.dtype.is_floating_point or ref.dtype.is_complex:
            return None
        return next(iter(self._by_content.get(_content(tensor, ref), ())), None)

    def copies(self, ref: TensorRef) -> list[TensorRef]:
        """The tensors with the very same numbers, itself among them."""
        return self._by_content.get(self._contents.get(ref, ()), [ref])

    def tables(self, tensor: torch.Tensor) -> list[TensorRef] | None:
        """The tables (tables_of) that have all numbers of this one, bit by bit: those that have all
        of them each, or else several together; None if there are none."""
        if not self._tables:
            self._tables = _numbers_of_tables(self._record)
        known = self._tables.get(tensor.dtype, {})
        found: list[list[TensorRef]] = []
        for number in np.unique(to_numpy(tensor)):
            refs = known.get(number.tobytes())
            if refs is None:
                return None
            found.append(refs)
        alone = [ref for ref in found[0] if all(ref in refs for refs in found)] if found else []
        return alone or list(dict.fromkeys(ref for refs in found for ref in refs))

    def _add(self, ref: TensorRef, call: Call | None, seen: set[TensorRef]) -> None:
        if ref in seen or ref.unjudged or ref.dtype.is_complex or ref.place in self._unwritten:
            return
        seen.add(ref)
        content = _content(self._record.value(ref), ref)
        self._contents[ref] = content
        self._by_content[content].append(ref)
        if not ref.dtype.is_floating_point:
            return
        if not int(np.prod(ref.shape)):
            return
        largest = _largest(self.value(ref))
        if np.isfinite(largest):
            size = int(np.prod(ref.shape, dtype=np.int64))
            entry = Entry(ref, call, largest, len(seen))
            self._by_size[size, ref.dtype].append(entry)


def data_of(record: Record) -> set[Place]:
    """The memory of inputs and of what the step has gradients or new values for."""
    changed = {n.removeprefix("new ").removesuffix(".grad") for n in record.results}
    return {
        ref.place
        for name, ref in record.given.items()
        if name.startswith(("input", "target")) or name in changed
    }


def tables_of(record: Record) -> set[TensorRef]:
    """Tensors of real numbers that are computed from no input and no weight: positions, angles."""
    data = data_of(record)
    found: set[TensorRef] = set()
    for call in record.calls:
        if call.operation in RANDOM or call.operation in UNINITIALISED:
            data |= {ref.place for ref in call.outputs}
        if any(ref.place in data for ref in call.inputs):
            data |= {ref.place for ref in call.outputs}
        else:
            found |= {r for r in call.outputs if r.dtype.is_floating_point and not r.unjudged}
    return found


def _numbers_of_tables(record: Record) -> dict[Any, dict[bytes, list[TensorRef]]]:
    found: dict[Any, dict[bytes, list[TensorRef]]] = defaultdict(lambda: defaultdict(list))
    for ref in tables_of(record):
        value = record.value(ref)
        if value.numel() <= MOST_ENTRIES:
            for number in np.unique(to_numpy(value)):
                found[ref.dtype][number.tobytes()].append(ref)
    return found


def _content(tensor: torch.Tensor, ref: TensorRef) -> tuple[Any, ...]:
    numbers = to_numpy(tensor.to(ref.dtype)).tobytes()
    return ref.shape, ref.dtype, hashlib.blake2b(numbers, digest_size=16).digest()


def _largest(value: np.ndarray) -> float:
    """Infinities are no measure: attention masks hold them."""
    finite = value[np.isfinite(value)] if not np.isfinite(value).all() else value
    return float(np.abs(finite).max()) if finite.size else 0.0


def ordered(
    value: np.ndarray, shape: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...] | None, np.ndarray]]:
    """The numbers in this shape: as they are (None), then with their dimensions permuted, each with
    the order that these are in."""
    yield None, value.reshape(shape)
    if 1 < value.ndim <= MOST_DIMENSIONS:
        for order in permutations(range(value.ndim)):
            if order != tuple(range(value.ndim)):
                yield order, value.transpose(order).reshape(shape)
