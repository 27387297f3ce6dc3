"""Recorded tensors on disk: a step whose tensors do not fit into memory can still be judged."""

import tempfile
import weakref
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from torch_parity.compare.aten.snapshots import Snapshots, TensorRef, tensor_from
from torch_parity.compare.errors import InputError
from torch_parity.compare.torch_private import WeakStorage, is_zero_tensor


class SpooledSnapshots(Snapshots):
    """Snapshots in a file without a name, which is gone when nothing refers to it any more, however
    the process ends. A storage is written when it is first seen, and after each call that has
    written into it; then the model may free it."""

    live = False

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._places: dict[tuple[int, int], tuple[int, int]] = {}  # where it begins, its bytes
        self._alive: dict[int, tuple[int, WeakStorage]] = {}  # by address: number, storage
        self._most = 16
        self._end = 0
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (open as long as this is)
        except OSError as error:
            raise InputError(f"keep: {folder} cannot be written to: {error.strerror}") from None
        self._folder = folder
        weakref.finalize(self, self._file.close)

    def ref(self, tensor: Tensor) -> TensorRef:
        """The tensor as it is now, written to disk."""
        ref = super().ref(tensor)
        if not ref.unjudged and ref.place not in self._places:
            if is_zero_tensor(tensor):
                self._write_bytes(ref.place, memoryview(bytes(tensor.numel() * ref.dtype.itemsize)))
            else:
                self._write(ref.place, tensor.untyped_storage())
        return ref

    def before_writing(self, tensor: Tensor) -> int | None:
        """What is there was written to disk when it was seen."""
        ref = self.ref(tensor)
        return None if ref.unjudged else ref.storage

    def after_perhaps_writing(self, memory: int) -> None:
        """As if it were written: what it held may be gone, so it cannot be compared."""
        self.after_writing(memory)

    def put_back(self, memory: int) -> None:
        """Nothing: the memory may be gone."""

    def is_on_cpu(self, ref: TensorRef) -> bool:
        """False: the model may have freed it."""
        return False

    def of_array(self, array: np.ndarray, dtype: torch.dtype) -> TensorRef | None:
        """None: addresses in memory are not kept."""
        return None

    def value(self, ref: TensorRef) -> Tensor:
        """A copy of the numbers that the tensor had, on the CPU."""
        if ref.unjudged:
            raise ValueError(f"a {ref.unjudged} has no numbers to read")
        return tensor_from(ref, self._read)

    def nbytes_of(self, ref: TensorRef) -> int:
        """The size of the storage that the tensor lies in."""
        return self._places[ref.place][1]

    def _write(self, place: tuple[int, int], storage: torch.UntypedStorage) -> None:
        n = storage.nbytes()
        flat = torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage, 0, (n,), (1,))
        self._write_bytes(place, flat.cpu().numpy().data)

    def _write_bytes(self, place: tuple[int, int], data: memoryview) -> None:
        try:
            self._file.seek(self._end)
            self._file.write(data)
        except OSError as error:
            raise InputError(
                f"keep: {self._folder} cannot be written to: {error.strerror}"
            ) from None
        self._places[place] = self._end, data.nbytes
        self._end += data.nbytes

    def _read(self, ref: TensorRef, start: int, count: int) -> bytes:
        self._file.seek(self._places[ref.place][0] + start)
        return self._file.read(count)

    def _number(self, tensor: Tensor) -> int:
        """A storage is held weakly, until another may get its address."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._alive or self._alive[key][1].expired:
            if len(self._alive) >= self._most:
                self._alive = {k: v for k, v in self._alive.items() if not v[1].expired}
                self._most = 2 * len(self._alive) + 16
            self._alive[key] = len(self._versions), WeakStorage(storage)
            self._versions.append(0)
        return self._alive[key][0]
