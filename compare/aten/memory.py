"""Memory whose numbers carry bounds: what each storage holds after each write, entry by entry.

A view is a way of reading a storage, and writing into a view changes what every other view of that
storage reads next. So bounded numbers are kept by storage and version, flat, and read and written
in the layout of the view.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided

from torch_parity.compare.aten.record import Call, Record
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.tensors import BoundedTensor, Unbounded
from torch_parity.compare.tensors import to_numpy

Place = tuple[int, int]


@dataclass
class Flat:
    """The numbers of one storage at one version; error is None for whole numbers, which have
    none."""

    value: np.ndarray
    error: np.ndarray | None


class BoundedMemory:
    """The storages of a record as they may be, given what they held at the start."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._flat: dict[Place, Flat] = {}
        self._last_read: dict[Place, int] = {}
        for call in record.calls:
            for ref in call.inputs:
                self._last_read[ref.place] = call.index
            for ref in call.outputs:  # writing in place begins from what was there
                self._last_read[ref.storage, ref.version - 1] = call.index

    def __contains__(self, place: Place) -> bool:
        """Whether something was read or written there."""
        return place in self._flat

    def read(self, ref: TensorRef) -> Any:
        """The tensor: bounded if it is of real numbers.

        Raises:
            Unbounded: its numbers cannot be read.
        """
        if ref.unjudged:
            raise Unbounded(ref.unjudged)
        flat = self._of(ref)
        value = view_of(flat.value, ref).copy()
        if flat.error is None:
            return torch.from_numpy(value)
        error = view_of(flat.error, ref).copy()
        return BoundedTensor(Bounded(value, error, numpy_dtype(ref.dtype)), ref.dtype)

    def write(self, ref: TensorRef, tensor: Any) -> None:
        """The tensor is in its place from now on."""
        before = self._before(ref)
        value, error = parts(tensor, ref)
        view_of(before.value, ref)[...] = value
        if before.error is not None:
            view_of(before.error, ref)[...] = 0.0 if error is None else error

    def forget(self, call: Call) -> None:
        """Drop what nothing reads after this call."""
        for ref in (*call.inputs, *call.outputs):
            for place in (ref.place, (ref.storage, ref.version - 1)):
                if self._last_read.get(place, -1) <= call.index:
                    self._flat.pop(place, None)

    def keep(self, ref: TensorRef) -> None:
        """It is read again after the last call."""
        self._last_read[ref.place] = len(self._record.calls)

    def _of(self, ref: TensorRef) -> Flat:
        if ref.place not in self._flat:
            self._flat[ref.place] = self._recorded(ref)
        return self._flat[ref.place]

    def _recorded(self, ref: TensorRef) -> Flat:
        """The whole storage as it was recorded: what the step was given."""
        n = self._entries(ref)
        whole = TensorRef(ref.storage, ref.version, (n,), (1,), 0, ref.dtype)
        return flat_of(self._record.value(whole))

    def _entries(self, ref: TensorRef) -> int:
        return self._record.snapshots.nbytes_of(ref) // ref.dtype.itemsize

    def _before(self, ref: TensorRef) -> Flat:
        """The storage that the tensor is written into; a copy of the version before it."""
        if ref.place not in self._flat:
            earlier = self._flat.get((ref.storage, ref.version - 1))
            if earlier is not None:
                error = None if earlier.error is None else earlier.error.copy()
                self._flat[ref.place] = Flat(earlier.value.copy(), error)
            else:
                self._flat[ref.place] = self._recorded(ref)
        return self._flat[ref.place]


def flat_of(tensor: torch.Tensor) -> Flat:
    """Recorded numbers, which are what they are."""
    if not tensor.dtype.is_floating_point:
        return Flat(to_numpy(tensor).copy(), None)
    exact = BoundedTensor.exact(tensor).bounded
    return Flat(np.array(exact.value), np.array(exact.error))


def parts(tensor: Any, ref: TensorRef) -> tuple[np.ndarray, np.ndarray | None]:
    """Value and error, in the shape of ref."""
    if isinstance(tensor, BoundedTensor):
        b = tensor.bounded
        return np.asarray(b.value).reshape(ref.shape), np.asarray(b.error).reshape(ref.shape)
    plain = torch.as_tensor(tensor)
    if ref.dtype.is_floating_point:
        exact = BoundedTensor.exact(plain.to(ref.dtype)).bounded
        return np.asarray(exact.value).reshape(ref.shape), None
    return to_numpy(plain.to(ref.dtype)).reshape(ref.shape), None


def view_of(flat: np.ndarray, ref: TensorRef) -> np.ndarray:
    """The entries of a flat storage that the tensor has; writing into them writes into it."""
    strides = [stride * flat.itemsize for stride in ref.stride]
    return as_strided(flat[ref.offset :], ref.shape, strides)


def numpy_dtype(dtype: torch.dtype) -> np.dtype:
    """The NumPy type of a type of torch; bfloat16 is that of ml_dtypes."""
    return to_numpy(torch.empty(0, dtype=dtype)).dtype


def digits(dtype: torch.dtype) -> int:
    """The bits of a type's numbers; 99 of integers, which lose nothing."""
    if not dtype.is_floating_point:
        return 99
    return {torch.float64: 53, torch.float32: 24, torch.float16: 11}.get(dtype, 8)
