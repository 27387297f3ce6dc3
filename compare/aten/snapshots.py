"""Tensors as they were: kept by storage and version, so that writing in place and views are right
and no number is kept twice.

A storage is copied only when something is about to write into it, and only if a recorded tensor
lies in it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from torch_parity.compare.bounds.tensors.complex_numbers import REAL_OF
from torch_parity.compare.torch_private import is_zero_tensor

# The types whose numbers NumPy (with ml_dtypes) can hold.
READ = {
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool, torch.uint8,
    torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16, torch.int32, torch.int64,
}  # fmt: skip


@dataclass(frozen=True)
class TensorRef:
    """A recorded tensor: which storage, how often that had been written, and where in it.

    unjudged says why its numbers cannot be read: a sparse tensor, one without memory. device is
    where it was: "cpu", "cuda". complex says that the last axis holds real and imaginary parts.
    """

    storage: int
    version: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    dtype: torch.dtype
    unjudged: str = ""
    device: str = "cpu"
    complex: bool = False

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
    """Every storage that was seen, at every version that a recorded tensor has.

    live says that a storage is read when it is asked for, so what others wrote shows.
    """

    live = True

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._storages: list[torch.UntypedStorage] = []
        self._versions: list[int] = []
        self._frozen: dict[tuple[int, int], torch.UntypedStorage] = {}
        self._opaque = 0

    def ref(self, tensor: Tensor) -> TensorRef:
        """The tensor as it is now."""
        if is_zero_tensor(tensor):
            return self._zeros(tensor)
        if reason := unreadable(tensor):
            self._opaque -= 1
            shape = () if tensor.is_nested else tuple(tensor.shape)
            device = tensor.device.type
            return TensorRef(self._opaque, 0, shape, (), 0, tensor.dtype, reason, device)
        number = self._number(tensor)
        shape, stride, offset = tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset())
        dtype, is_complex = REAL_OF.get(tensor.dtype, tensor.dtype), tensor.is_complex()
        if is_complex:
            shape, stride, offset = (*shape, 2), (*(2 * s for s in stride), 1), 2 * offset
        device, version = tensor.device.type, self._versions[number]
        return TensorRef(
            number, version, shape, stride, offset, dtype, device=device, complex=is_complex
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

    def after_perhaps_writing(self, memory: int) -> None:
        """after_writing, if the memory holds other numbers than what was kept."""
        place = self.place_of(memory)
        if same_bytes(self._frozen[place], self._storages[memory]):
            del self._frozen[place]
        else:
            self._versions[memory] += 1

    def put_back(self, memory: int) -> None:
        """Give the memory itself what it held at first; what it held since is kept."""
        first = self._frozen.get((memory, 0))
        if first is None:
            return
        place = self.place_of(memory)
        if place not in self._frozen:
            self._frozen[place] = self._storages[memory].clone()  # type: ignore[no-untyped-call]
        self._storages[memory].copy_(first)
        self._versions[memory] += 1

    def place_of(self, memory: int) -> tuple[int, int]:
        """The memory, at this time."""
        return memory, self._versions[memory]

    def value(self, ref: TensorRef) -> Tensor:
        """The numbers that the tensor had; a view of what is kept."""
        if ref.unjudged:
            raise ValueError(f"a {ref.unjudged} has no numbers to read")
        storage = self.memory(*ref.place)
        empty = torch.empty(0, dtype=ref.dtype, device=storage.device)
        return empty.set_(storage, ref.offset, ref.shape, ref.stride)

    def memory(self, storage: int, version: int) -> torch.UntypedStorage:
        """A storage as it was at a version."""
        current = self._versions[storage] == version
        return self._storages[storage] if current else self._frozen[storage, version]

    def is_on_cpu(self, ref: TensorRef) -> bool:
        """Where NumPy can reach it."""
        return self._storages[ref.storage].device.type == "cpu"

    def nbytes_of(self, ref: TensorRef) -> int:
        """The size of the storage that the tensor lies in."""
        return self._storages[ref.storage].nbytes()

    def of_array(self, array: np.ndarray, dtype: torch.dtype) -> TensorRef | None:
        """The tensor that an array is a view of; None if its memory is none that was seen."""
        steps = [s // array.itemsize for s in array.strides]
        if min(steps, default=0) < 0 or any(s % array.itemsize for s in array.strides):
            return None
        address = array.ctypes.data
        for number, storage in enumerate(self._storages):
            begin = storage.data_ptr() if storage.device.type == "cpu" else 0
            if array.size and begin <= address < begin + storage.nbytes():
                offset = (address - begin) // array.itemsize
                version = self._versions[number]
                return TensorRef(number, version, array.shape, tuple(steps), offset, dtype)
        return None

    @property
    def nbytes(self) -> int:
        """The memory that the record holds."""
        return sum(s.nbytes() for s in (*self._storages, *self._frozen.values()))

    def _zeros(self, tensor: Tensor) -> TensorRef:
        """Memory for a tensor that has none."""
        # by NumPy, as what torch would call here might be recorded
        memory = np.zeros(tensor.numel() * tensor.dtype.itemsize, np.uint8)
        storage = torch.from_numpy(memory).untyped_storage()
        is_complex = tensor.is_complex()
        shape = (*tensor.shape, 2) if is_complex else tuple(tensor.shape)
        stride = tuple(np.zeros(shape, np.uint8).strides)
        dtype = REAL_OF.get(tensor.dtype, tensor.dtype)
        return TensorRef(self._added(storage), 0, shape, stride, 0, dtype, complex=is_complex)

    def _number(self, tensor: Tensor) -> int:
        return self._added(tensor.untyped_storage())

    def _added(self, storage: torch.UntypedStorage) -> int:
        """Storages are held, so that no other gets the address of one that was seen."""
        key = storage._cdata
        if key not in self._numbers:
            self._numbers[key] = len(self._storages)
            self._storages.append(storage)
            self._versions.append(0)
        return self._numbers[key]


def same_bytes(a: torch.UntypedStorage, b: torch.UntypedStorage) -> bool:
    """Whether two memories hold the same, nan included."""
    x, y = (torch.empty(0, dtype=torch.uint8, device=s.device).set_(s) for s in (a, b))
    return torch.equal(x, y)


def unreadable(tensor: Tensor) -> str:
    """Why a tensor's memory cannot be read as numbers; "" if it can."""
    if tensor.is_nested:
        return "nested tensor"
    if tensor.layout != torch.strided:
        return f"{str(tensor.layout).removeprefix('torch.').strip('_').replace('_', ' ')} tensor"
    if tensor.is_quantized:
        return "quantized tensor"
    if tensor.is_conj():
        return "tensor that is conjugated when it is read"
    if tensor.is_neg():
        return "tensor that is negated when it is read"
    if tensor.dtype not in READ and tensor.dtype not in REAL_OF:
        kind = "complex" if tensor.is_complex() else str(tensor.dtype).removeprefix("torch.")
        return f"{kind} tensor"
    if tensor.device.type == "meta":
        return "tensor without memory"
    plain = type(tensor) in (Tensor, torch.nn.Parameter, torch.nn.Buffer)
    if (not plain and _wraps(tensor)) or not _has_storage(tensor):
        return f"{type(tensor).__name__} without memory of its own"  # also inside torch.func.vmap
    return ""


def _wraps(tensor: Tensor) -> bool:
    """A subclass that computes by other tensors, which hold its numbers."""
    own = type(tensor).__torch_dispatch__
    return getattr(own, "__func__", own) is not Tensor.__torch_dispatch__


def _has_storage(tensor: Tensor) -> bool:
    try:
        return tensor.untyped_storage().nbytes() > 0 or tensor.numel() == 0
    except (RuntimeError, NotImplementedError):
        return False
