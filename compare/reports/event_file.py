"""TensorBoard's log files, written in order and cut back where a run goes on from a checkpoint.

TensorBoard's own writer hands events to a thread, which prints a traceback where the disk is full,
and begins a new file each time; its purge only hides points from view; and its checksums, byte by
byte in Python, take twice as long as all else that is done for an event.
"""

import os
import struct
import time
from pathlib import Path

from google_crc32c import value as crc32c
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from compare.errors import InputError

PATTERN = "*tfevents*"  # what TensorBoard takes for its own


class EventFile:
    """The log of one TensorBoard run; what is in it already stays, and more follows.

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
        """Any event, with the time of day; whoever watches the file sees it at once."""
        now = time.time()
        if not self._stream.tell():
            first = Event(file_version="brain.Event:2", wall_time=now)
            self._stream.write(record(first.SerializeToString()))
        event.wall_time = now
        self._stream.write(record(event.SerializeToString()))
        self._stream.flush()

    def sync(self) -> None:
        """All of it is on the disk when this returns."""
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """No more will be written."""
        self._stream.close()


def record(data: bytes) -> bytes:
    """length, its checksum, data, its checksum: one record of a TFRecord file, little-endian.

    Source: tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details".
    """
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


def _masked_crc(data: bytes) -> bytes:
    """((crc >> 15 | crc << 17) + 0xa282ead8) mod 2^32: a checksum of data that holds checksums
    would otherwise be a weak one."""
    crc = crc32c(data)
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)


def sizes(folder: Path) -> dict[str, int]:
    """The length in bytes of every log below a run's folder."""
    return {_name(folder, p): p.stat().st_size for p in sorted(folder.rglob(PATTERN))}


def check(folder: Path, sizes: dict[str, int]) -> None:
    """Refuse logs that lack what a checkpoint knows of.

    Raises:
        InputError: one is missing or shorter than it was; it is named.
    """
    for name, size in sizes.items():
        path = folder / name
        held = path.stat().st_size if path.is_file() else None
        if held is None or held < size:
            came = "is missing" if held is None else f"holds {held} bytes"
            raise InputError(f"{path} {came}, expected at least {size}: curves would have a gap")


def cut(folder: Path, sizes: dict[str, int]) -> None:
    """Cut every log back to this size, and delete those that came later: the points that follow
    are written again."""
    for path in folder.rglob(PATTERN):
        size = sizes.get(_name(folder, path))
        if size is None:
            path.unlink()
        else:
            os.truncate(path, size)


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
