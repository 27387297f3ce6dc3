"""Recorded calls, computed again on bounded numbers with autograd.

Autograd cannot follow a write into a part of a bounded tensor. So each write makes a new tensor:
the whole storage with other numbers in these places.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from torch_parity.compare.aten.draws import RANDOM, UNINITIALISED
from torch_parity.compare.aten.record import Call, Record, operation_of
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.bounds.tensors import BoundedTensor, Unbounded
from torch_parity.compare.bounds.tensors.dispatch import bound_arguments, functional_of
from torch_parity.compare.torch_private import flattened, mapped, written_names


class Differentiable:
    """The tensors of a record as they come out of those that were recorded."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._made: dict[TensorRef, Any] = {}
        self._written: dict[int, Any] = {}  # storages in flat form, once something wrote into them

    def __contains__(self, ref: TensorRef) -> bool:
        """Whether it was computed again."""
        return ref in self._made or ref.storage in self._written

    def begin_from(self, ref: TensorRef) -> Any:
        """A recorded tensor, with respect to which there are derivatives."""
        self._made[ref] = lifted(self._record, ref).requires_grad_(ref.dtype.is_floating_point)
        return self._made[ref]

    def read(self, ref: TensorRef) -> Any:
        """The tensor as it is after the calls so far."""
        if ref not in self._made:
            flat = self._written.get(ref.storage)
            whole = lifted(self._record, ref) if flat is None else flat[self._places(ref)]
            self._made[ref] = whole
        return self._made[ref]

    def compute(self, call: Call) -> None:
        """The outputs of the call. Numbers that it drew, or found in its memory, are as recorded.

        Raises:
            Unbounded: its numbers cannot be read, or have no bound.
        """
        if call.operation in RANDOM or call.operation in UNINITIALISED:
            return
        args, kwargs = mapped(self._argument, (call.args, dict(call.kwargs)))
        given = bound_arguments(call.overload, call.args, dict(call.kwargs))
        written = {
            ref.storage
            for name in written_names(call.overload)
            for ref in flattened(given.get(name))
            if isinstance(ref, TensorRef)
        }
        computed = flattened(_without_writing(call.overload, args, kwargs))
        tensors = [t for t in computed if isinstance(t, Tensor)]
        for ref, tensor in zip(call.outputs, tensors, strict=False):
            if ref.storage in written:
                self._write(ref, tensor)
            self._made[ref] = tensor

    def _argument(self, x: Any) -> Any:
        return self.read(x) if isinstance(x, TensorRef) else x

    def _write(self, ref: TensorRef, tensor: Any) -> None:
        flat = self._written.get(ref.storage)
        if flat is None:
            flat = self._flat_before(ref)
        places = self._places(ref).reshape(-1)
        content = tensor.to(ref.dtype).expand(ref.shape).reshape(-1)
        self._written[ref.storage] = torch.index_put(flat, (places,), content)

    def _flat_before(self, ref: TensorRef) -> Any:
        """The storage before its first write: as recorded, with what was computed again in it."""
        entries = self._entries(ref)
        whole = TensorRef(ref.storage, ref.version - 1, (entries,), (1,), 0, ref.dtype)
        found = lifted(self._record, whole)
        for each, tensor in self._made.items():
            if each.storage == ref.storage:
                places = self._places(each).reshape(-1)
                found = torch.index_put(found, (places,), tensor.reshape(-1))
        return found

    def _places(self, ref: TensorRef) -> Tensor:
        """The place of each entry in its storage."""
        if ref.complex:
            raise Unbounded("complex memory that is written into")
        everywhere = torch.arange(self._entries(ref))
        return everywhere.as_strided(ref.shape, ref.stride, ref.offset)

    def _entries(self, ref: TensorRef) -> int:
        return self._record.snapshots.nbytes_of(ref) // ref.dtype.itemsize


def _copied(target: Any, source: Any, *_: Any) -> Any:
    return source.to(target.dtype).expand(target.shape)


def _extreme(found: Any, of: Any, dim: Sequence[int] = (), keepdim: bool = False) -> Any:
    """The greatest number along one dimension, whose derivative goes to its own place. amax and
    amin look for numbers that equal it, which rounding decides."""
    (only,) = dim
    return found(of, only, keepdim).values


# Calls whose derivative torch has not, or has in a form that no bound holds for.
FORMULAS: dict[str, Callable[..., Any]] = {
    "copy": _copied,
    "detach": torch.clone,  # autograd is off in the forward of a Function
    "zero": torch.zeros_like,
    "amax": partial(_extreme, torch.max),
    "amin": partial(_extreme, torch.min),
}


def _without_writing(overload: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """What the call returns or writes, as new tensors."""
    written = written_names(overload)
    outs = {a.name for a in overload._schema.arguments if a.kwarg_only and a.name in written}
    function = FORMULAS.get(operation_of(overload)) or functional_of(overload)
    return function(*args, **{name: x for name, x in kwargs.items() if name not in outs})


def lifted(record: Record, ref: TensorRef) -> Any:
    """The recorded numbers, without an error.

    Raises:
        Unbounded: they cannot be read.
    """
    if ref.unjudged:
        raise Unbounded(ref.unjudged)
    tensor = record.value(ref)
    return BoundedTensor.exact(tensor) if tensor.is_floating_point() else tensor.clone()
