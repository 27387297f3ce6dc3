"""The tensor of a that a tensor of b is: the one whose numbers lie within the bound around b's.

Nothing is lost where a tensor is taken for another with the same numbers up to their bounds: a
number within its bound is as good as any other.
"""

import numpy as np
import torch

from torch_parity.compare.aten.common_numbers import CommonNumbers
from torch_parity.compare.aten.end_verdicts import greatest_use, half_of_the_digits
from torch_parity.compare.aten.index import MOST_ENTRIES, Entry, ordered, tables_of
from torch_parity.compare.aten.lowered import is_lowered
from torch_parity.compare.aten.memory import digits
from torch_parity.compare.aten.record import Call
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.aten.stored_tables import StoredTables, found_among
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.tensors import BoundedTensor
from torch_parity.compare.tensors import to_numpy

# A tensor known to no more than this share of its largest entry is nobody's counterpart.
KNOWN_ENOUGH = 1e-3
FLOAT64 = digits(torch.float64)


class Counterparts:
    """Looks for b's tensors among a's, and puts a's numbers in the place of b's."""

    def __init__(self, common: CommonNumbers) -> None:
        self._common = common
        self._given: set[TensorRef] = set()
        self._tables = tables_of(common.alignment.b)
        a, b = common.alignment.a, common.alignment.b
        self._stored_in_a, self._stored_in_b = StoredTables(a), StoredTables(b)

    def match_made(self, call: Call, ref: TensorRef, made: object) -> None:
        """What a call of b made, bounded or not."""
        if isinstance(made, BoundedTensor):
            if not self._match_table(ref):
                self._match(call, ref, made.bounded)
            if ref.place not in self._common.alignment.known:
                self._match_stored(ref)
        elif isinstance(made, torch.Tensor):
            self._match_exactly(ref, made)

    def match_unseen(self, ref: TensorRef) -> None:
        """a's tensor that no recorded call of b has made, within the bound of a's calls."""
        if not ref.dtype.is_floating_point or not ref.shape:
            return
        common = self._common
        b = BoundedTensor.exact(common.alignment.b.value(ref)).bounded
        for entry in common.index.near(b.value, ref.dtype):
            bound = common.bound_of(entry.ref, b)
            if bound is not None and _known(bound) and greatest_use(b.value, bound) <= 1:
                common.take(ref, entry.ref, common.index.value(entry.ref).reshape(b.shape))
                return

    def _match_table(self, ref: TensorRef) -> bool:
        """A table (angles, positions), whose numbers are those of a's, bit by bit, in another order
        or several times: it is what it is, with no rounding in it. (Angles are often computed in
        float32, whose bound is large next to everything else.)"""
        if ref not in self._tables:
            return False
        alignment = self._common.alignment
        recorded = alignment.b.value(ref)
        of_a = self._common.index.tables(recorded) if recorded.numel() <= MOST_ENTRIES else None
        if of_a is None:
            return False
        self._common.memory.write(ref, recorded)
        alignment.known.add(ref.place)
        # a's tables that have other numbers besides are not known by it: 1 is a cosine as well
        here = np.unique(to_numpy(recorded))
        whole = (r for r in of_a if np.isin(to_numpy(alignment.a.value(r)), here).all())
        alignment.known_of_a |= {r.place for r in whole}
        return True

    def _match_stored(self, ref: TensorRef) -> None:
        """A table that a float32 model a stores."""
        if self._common.bits < FLOAT64 and self._stored_in_b.is_computed(ref):
            own = self._stored_in_b.in_float32(ref)
            if own is not None:
                self._take_table(ref, found_among(self._stored_in_a.all_given, own))

    def match_given(self, ref: TensorRef) -> None:
        """A table that a float32 model b stores and a computes."""
        new = ref.place not in self._common.alignment.known and ref not in self._given
        if new and self._common.bits < FLOAT64 and self._stored_in_b.is_given(ref):
            self._given.add(ref)
            stored = self._stored_in_b.stored(ref)
            self._take_table(ref, found_among(self._stored_in_a.all_computed, stored))

    def _take_table(self, ref: TensorRef, numbers: np.ndarray | None) -> None:
        if numbers is not None:
            self._common.write_exactly(ref, numbers.reshape(ref.shape))
            self._common.lowered.discard(ref.place)

    def _match(self, call: Call, ref: TensorRef, b: Bounded) -> None:
        """a's tensor within the bound around b's, if there is one."""
        if not b.size or not _known(b):
            return
        for entry in self._candidates(call, b, ref):
            found = self._within(entry, b, ref)
            if found is not None:
                order, numbers = found
                self._common.take(ref, entry.ref, numbers)
                if order is not None:
                    self._common.alignment.orders[ref] = order
                self._common.tainted.discard(ref.place)
                self._common.lowered.discard(ref.place)
                return

    def _match_exactly(self, ref: TensorRef, tensor: torch.Tensor) -> None:
        """a's tensor of the same integers or truths, if there is one."""
        of_a = self._common.index.exactly(tensor, ref)
        if of_a is not None:
            self._common.share(ref, of_a)
            self._common.alignment.known.add(ref.place)

    def _candidates(self, call: Call, b: Bounded, ref: TensorRef) -> list[Entry]:
        found = list(self._common.index.like(b.value, b.error, ref.dtype))
        if ref.place in self._common.lowered:  # it is no tensor that kept its digits
            found = [e for e in found if is_lowered(e.ref, e.call)]

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
        common = self._common
        for order, arranged in ordered(common.index.value(entry.ref), ref.shape):
            use = greatest_use(arranged, b)
            if use <= 1:
                return order, arranged
            if use < common.worth_it:
                own = common.rounding_of(entry.ref)
                most = half_of_the_digits(b, common.bits)  # more of a's rounding is no proof
                if own is not None and greatest_use(arranged, b, min(own, most)) <= 1:
                    return order, arranged
            if not _same_multiset(arranged, b):
                break
        return None


def _known(b: Bounded) -> bool:
    """To enough digits to tell it from others."""
    finite = np.isfinite(b.value)
    if not np.isfinite(b.error[finite]).all():
        return False
    largest = float(np.abs(b.value[finite]).max(initial=0.0))
    return float(b.error[finite].max(initial=0.0)) <= KNOWN_ENOUGH * largest or largest == 0


def _same_multiset(numbers: np.ndarray, b: Bounded) -> bool:
    """Whether another order of the numbers may lie within the bounds."""
    first, second = np.sort(numbers, axis=None), np.sort(b.value, axis=None)
    with np.errstate(all="ignore"):
        gap = np.abs(first - second)
    finite = np.isfinite(gap)
    return bool((gap[finite] <= 2 * b.error.max(initial=0.0)).all())
