"""TensorBoard's log files, written in order, and truncated when a run resumes from a checkpoint.

TensorBoard's own writer is not used: it writes in a thread, which prints a traceback if the disk is
full; it starts a new file each time; its purge only hides points; and its checksums, computed byte
by byte in Python, take twice as long as everything else.
"""

import os
import struct
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from google_crc32c import value as crc32c
from pydantic import NonNegativeInt
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from torch_parity.compare.runs import atomic

NAME = "events.out.tfevents.0"  # of each log; other files are left alone
PART = 2**20  # bytes of a log in memory at once


class EventFile:
    """The log of one TensorBoard run; new events are appended.

    TensorBoard orders and colours the runs by their first event, so a new log begins with one at
    once.

    Raises:
        OSError: (any method) it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._stream = (folder / NAME).open("ab")
        if not self._stream.tell():
            self._append(Event(file_version="brain.Event:2"))

    def add_summary(self, summary: Summary, step: int | None = None) -> None:
        """One event with all the values of a step."""
        self.add_event(Event(summary=summary, step=step))

    def add_event(self, event: Event) -> None:
        """Append an event with the current time, and flush it."""
        self._append(event)
        self._stream.flush()

    def sync(self) -> None:
        """Flush everything to the disk."""
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _append(self, event: Event) -> None:
        event.wall_time = time.time()
        self._stream.write(record(event.SerializeToString()))


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

    size: NonNegativeInt = 0
    checksum: int = 0


def written(folder: Path, before: Mapping[str, Written]) -> dict[str, Written]:
    """Every log of a run; the parts in `before` are not read again."""
    found = {}
    for path in sorted(folder.rglob(NAME)):
        name = _name(folder, path)
        found[name] = _read_on(path, before.get(name, Written()), path.stat().st_size)
    return found


def damaged(folder: Path, logs: Mapping[str, Written]) -> dict[str, str]:
    """The logs that lack what was written before a checkpoint, and what is wrong with each."""
    found = {}
    for name, was in logs.items():
        path = folder / name
        held = path.stat().st_size if path.is_file() else None
        if held is None:
            found[name] = f"{path} is missing"
        elif held < was.size:
            found[name] = f"{path} holds {held} bytes, expected at least {was.size}"
        elif _read_on(path, Written(), was.size) != was:
            found[name] = (
                f"{path} is damaged: its first {was.size} bytes are not those that were written"
            )
    return found


def cut(folder: Path, logs: Mapping[str, Written]) -> None:
    """Truncate every log to its size at the checkpoint, and delete newer logs: the later points are
    written again."""
    for path in folder.rglob(NAME):
        was = logs.get(_name(folder, path))
        if was is None:
            path.unlink()
        elif path.stat().st_size > was.size:
            os.truncate(path, was.size)


def repair(path: Path) -> None:
    """Keep every record of a log that is not damaged, as a reader would find them; a log that is
    missing stays so."""
    if path.exists():
        atomic.write(path, b"".join(_undamaged(path.read_bytes())))


def _undamaged(content: bytes) -> Iterator[bytes]:
    """The records with the right checksums. Where a length is damaged, the next record is searched
    for byte by byte."""
    at = 0
    while at + 16 <= len(content):
        length = content[at : at + 8]
        end = at + 16 + int.from_bytes(length, "little")
        if _masked_crc(length) != content[at + 8 : at + 12] or end > len(content):
            at += 1
            continue
        if _masked_crc(content[at + 12 : end - 4]) == content[end - 4 : end]:
            yield content[at:end]
        at = end


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
