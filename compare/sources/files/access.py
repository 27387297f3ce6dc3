"""Reading and writing a user's file: whatever goes wrong is one InputError in one line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch_parity.compare.errors import InputError, printable


@contextmanager
def reading(path: Path, expected: str) -> Iterator[None]:
    """While the file is read. expected says what kind of file it should be.

    Raises:
        InputError: there is no such file, or it cannot be read. Errors that quote it are made
            printable, for it may hold control characters.
    """
    try:
        if not path.is_file():
            what = "is not a file" if path.exists() else "does not exist"
            raise InputError(f"{path} {what}; expected {expected}")
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except InputError as error:
        raise InputError(printable(str(error))) from None


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Gives the path of a file to write to, which takes the other's place when it is complete.

    Raises:
        InputError: the folder cannot be written to; what was there is as it was.
    """
    half_done = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            yield half_done
            half_done.replace(path)
        finally:
            half_done.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
