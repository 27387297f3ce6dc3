"""Whether memory was written by anything but torch's calls: NumPy, another library."""

import zlib

import torch

from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.snapshots import Snapshots
from torch_parity.compare.errors import InputError

Sums = dict[tuple[int, int], int]


def sums_of(record: Record, snapshots: Snapshots) -> Sums:
    """A checksum of the memory of each given tensor, by storage and version; of the CPU's only,
    which is where another library can write."""
    return {
        ref.place: _sum(snapshots, *ref.place)
        for ref in record.given.values()
        if not ref.unjudged and snapshots.is_on_cpu(ref)
    }


def _sum(snapshots: Snapshots, storage: int, version: int) -> int:
    memory = snapshots.memory(storage, version)
    return zlib.crc32(torch.empty(0, dtype=torch.uint8).set_(memory).numpy().data)


def require_unchanged(record: Record, snapshots: Snapshots, sums: Sums, called: str) -> None:
    """Raises:
    InputError: a given tensor holds other numbers than at the start, and no call wrote them.
    """
    for name, ref in record.given.items():
        if ref.place in sums and _sum(snapshots, *ref.place) != sums[ref.place]:
            raise InputError(
                f"{name} of {called} changed during the step, but no torch call wrote it (NumPy or "
                "another library did, in its memory), so its calls cannot be judged; write it by "
                "torch's own functions"
            )
