"""Write a file completely or not at all, even if the process or the machine stops."""

import os
from contextlib import suppress
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Write a file beside path, then rename it: until then, the old file stays in place.

    Raises:
        OSError: it could not be written; path is as it was.
    """
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
    if os.name != "nt":  # Windows cannot open a folder, and needs none of this
        _sync_names(path.parent)


def _sync_names(folder: Path) -> None:
    """Flush the folder, which holds the name of the new file."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
