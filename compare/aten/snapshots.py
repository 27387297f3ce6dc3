"""Tensors as they were: kept by storage and version, so that writing in place and views are right
and no number is kept twice.

A storage is copied only when something is about to write into it, and only if a recorded tensor
lies in it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class TensorRef:
    """A recorded tensor: which storage, how often that had been written, and where in it.

    unjudged says why its numbers cannot be read: a sparse tensor, one without memory. device is
    where it was: "cpu", "cuda".
    """

    storage: int
    version: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    dtype: torch.dtype
    unjudged: str = ""
    device: str = "cpu"

    @property
    def place(self) -> tuple[int, int]:
        """The memory, at a time."""
        return self.storage, self.version


def span(ref: TensorRef) -> int:
    """How many entries of the storage lie from the tensor's first one to its last."""
    if not all(ref.shape):
        return 0
    return 1 + sum((side - 1) * step for side, step in zip(ref.shape, ref.stride, strict=True))


def tensor_from(ref: TensorRef, read: Callable[[TensorRef, int, int], bytes]) -> Tensor:
    """The tensor, of bytes of its storage: read(ref, start, count)."""
    count, size = span(ref), ref.dtype.itemsize
    if not count:
        return torch.empty_strided(ref.shape, ref.stride, dtype=ref.dtype)
    data = bytearray(read(ref, ref.offset * size, count * size))
    return torch.frombuffer(data, dtype=ref.dtype).as_strided(ref.shape, ref.stride)


class Values(Protocol):
    """Where the numbers of recorded tensors are."""

    def value(self, ref: TensorRef) -> Tensor:
        """The numbers that the tensor had."""

    def nbytes_of(self, ref: TensorRef) -> int:
        """The size of the storage that the tensor lies in."""


class Snapshots:
    """Every storage that was seen, at every version that a recorded tensor has."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._storages: list[torch.UntypedStorage] = []
        self._versions: list[int] = []
        self._frozen: dict[tuple[int, int], torch.UntypedStorage] = {}
        self._opaque = 0

    def ref(self, tensor: Tensor) -> TensorRef:
        """The tensor as it is now."""
        if reason := unreadable(tensor):
            self._opaque -= 1
            shape, device = tuple(tensor.shape), tensor.device.type
            return TensorRef(self._opaque, 0, shape, (), 0, tensor.dtype, reason, device)
        number = self._number(tensor)
        return TensorRef(
            number,
            self._versions[number],
            tuple(tensor.shape),
            tensor.stride(),
            int(tensor.storage_offset()),
            tensor.dtype,
            device=tensor.device.type,
        )

    def before_writing(self, tensor: Tensor) -> int | None:
        """Keep what is there. The answer is the memory, for after_writing: the call may give the
        tensor another one."""
        if unreadable(tensor):
            return None
        number = self._number(tensor)
        place = number, self._versions[number]
        if place not in self._frozen:
            self._frozen[place] = self._storages[number].clone()  # type: ignore[no-untyped-call]
        return number

    def after_writing(self, memory: int | None) -> None:
        """From here on other tensors lie in this memory."""
        if memory is not None:
            self._versions[memory] += 1

    def value(self, ref: TensorRef) -> Tensor:
        """The numbers that the tensor had; a view of what is kept."""
        if ref.unjudged:
            raise ValueError(f"a {ref.unjudged} has no numbers to read")
        current = self._versions[ref.storage] == ref.version
        storage = self._storages[ref.storage] if current else self._frozen[ref.place]
        empty = torch.empty(0, dtype=ref.dtype, device=storage.device)
        return empty.set_(storage, ref.offset, ref.shape, ref.stride)

    def nbytes_of(self, ref: TensorRef) -> int:
        """The size of the storage that the tensor lies in."""
        return self._storages[ref.storage].nbytes()

    @property
    def nbytes(self) -> int:
        """The memory that the record holds."""
        return sum(s.nbytes() for s in (*self._storages, *self._frozen.values()))

    def _number(self, tensor: Tensor) -> int:
        """Storages are held, so that no other gets the address of one that was seen."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._numbers:
            self._numbers[key] = len(self._storages)
            self._storages.append(storage)
            self._versions.append(0)
        return self._numbers[key]


def unreadable(tensor: Tensor) -> str:
    """Why a tensor's memory cannot be read as numbers; "" if it can."""
    if tensor.layout != torch.strided:
        return f"{str(tensor.layout).removeprefix('torch.').replace('_', ' ')} tensor"
    if tensor.is_quantized:
        return "quantized tensor"
    if tensor.is_complex():
        return "complex tensor"
    if tensor.device.type == "meta":
        return "tensor without memory"
    plain = type(tensor) in (Tensor, torch.nn.Parameter, torch.nn.Buffer)
    if not plain and not _has_storage(tensor):
        return f"{type(tensor).__name__} without memory of its own"
    return ""


def _has_storage(tensor: Tensor) -> bool:
    try:
        return tensor.untyped_storage().nbytes() > 0 or tensor.numel() == 0
    except (RuntimeError, NotImplementedError):
        return False
