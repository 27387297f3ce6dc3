"""TensorBoard's log files, written in order, and truncated when a run resumes from a checkpoint.

TensorBoard's own writer is not used: it writes in a thread, which prints a traceback if the disk is
full; it starts a new file each time; its purge only hides points; and its checksums, computed byte
by byte in Python, take twice as long as everything else.
"""

import os
import struct
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from google_crc32c import value as crc32c
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from torch_parity.compare.errors import InputError

PATTERN = "*tfevents*"  # the files that TensorBoard reads
PART = 2**20  # bytes of a log in memory at once


class EventFile:
    """The log of one TensorBoard run; new events are appended.

    Raises:
        OSError: (any method) it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._stream = (folder / "events.out.tfevents.0").open("ab")

    def add_summary(self, summary: Summary, step: int | None = None) -> None:
        """One event with all the values of a step."""
        self.add_event(Event(summary=summary, step=step))

    def add_event(self, event: Event) -> None:
        """Append an event with the current time, and flush it."""
        now = time.time()
        if not self._stream.tell():
            first = Event(file_version="brain.Event:2", wall_time=now)
            self._stream.write(record(first.SerializeToString()))
        event.wall_time = now
        self._stream.write(record(event.SerializeToString()))
        self._stream.flush()

    def sync(self) -> None:
        """Flush everything to the disk."""
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def record(data: bytes) -> bytes:
    """length, its checksum, data, its checksum: one record of a TFRecord file, little-endian.

    Source: tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details".
    """
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


def _masked_crc(data: bytes) -> bytes:
    """((crc >> 15 | crc << 17) + 0xa282ead8) mod 2^32. Without the mask, the checksum of data that
    contain checksums would be weak."""
    crc = crc32c(data)
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)


@dataclass(frozen=True)
class Written:
    """The size of a log and its CRC-32. It covers the whole log, because the checksums of the
    records do not show that a record is missing."""

    size: int = 0
    checksum: int = 0


def written(folder: Path, before: Mapping[str, Written]) -> dict[str, Written]:
    """Every log of a run; the parts in `before` are not read again."""
    found = {}
    for path in sorted(folder.rglob(PATTERN)):
        name = _name(folder, path)
        found[name] = _read_on(path, before.get(name, Written()), path.stat().st_size)
    return found


def check(folder: Path, logs: Mapping[str, Written]) -> None:
    """Refuse logs that lack events written before a checkpoint.

    Raises:
        InputError: a log is missing, shorter than it was, or damaged; the message names it.
    """
    for name, was in logs.items():
        path = folder / name
        held = path.stat().st_size if path.is_file() else None
        if held is None or held < was.size:
            came = "is missing" if held is None else f"holds {held} bytes"
            raise InputError(
                f"{path} {came}, expected at least {was.size}: its curves would have a gap"
            )
        if _read_on(path, Written(), was.size) != was:
            raise InputError(
                f"{path} is damaged: its first {was.size} bytes are not those that were written, "
                "so its curves would be wrong"
            )


def cut(folder: Path, logs: Mapping[str, Written]) -> None:
    """Truncate every log to its size at the checkpoint, and delete newer logs: the later points are
    written again."""
    for path in folder.rglob(PATTERN):
        was = logs.get(_name(folder, path))
        if was is None:
            path.unlink()
        else:
            os.truncate(path, was.size)


def _read_on(path: Path, start: Written, size: int) -> Written:
    """The checksum of the first `size` bytes, from where an earlier one ends."""
    checksum, left = start.checksum, size - start.size
    with path.open("rb") as stream:
        stream.seek(start.size)
        while left > 0 and (part := stream.read(min(left, PART))):
            checksum, left = zlib.crc32(part, checksum), left - len(part)
    return Written(size, checksum)


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
