"""Files of a run: written completely or not at all, and checked before they are used."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any


class FileError(ValueError):
    """A file is missing, damaged or not the run's own; the message says which, and what to do."""


def write(path: Path, content: bytes) -> None:
    """Write a file beside path, then rename it: until then, the old file stays in place."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)


def checksum(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        FileError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from None


def write_record(path: Path, record: dict[str, Any]) -> None:
    """JSON with a checksum of its own."""
    text = json.dumps(record, sort_keys=True)
    sealed = {"checksum": hashlib.sha256(text.encode()).hexdigest(), "record": record}
    write(path, json.dumps(sealed, indent=1).encode())


def read_record(path: Path) -> dict[str, Any]:
    """What write_record has written.

    Raises:
        FileError: it is missing or damaged.
    """
    try:
        sealed = json.loads(path.read_bytes())
        record: dict[str, Any] = sealed["record"]
        text = json.dumps(record, sort_keys=True)
        whole = sealed["checksum"] == hashlib.sha256(text.encode()).hexdigest()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, RecursionError):
        whole = False
    if not whole or not isinstance(record, dict):
        raise FileError(f"{path} is damaged: its content does not match its checksum")
    return record


def refuse_links(folder: Path) -> None:
    """What is written to a link is another file, and a run may come from somebody else.

    Raises:
        FileError: the folder holds one.
    """
    for path in folder.rglob("*"):
        if path.is_symlink() or (path.is_file() and path.stat().st_nlink > 1):
            raise FileError(f"{path} is a link, so nothing is written there; copy the run's folder")
