"""The lock of a run's folder: one process writes to it, and only while it is the same folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from torch_parity.compare.errors import InputError
from torch_parity.compare.runs.folder import resume_command


class RunLock:
    """Holds the folder's lock inside `with`. The system releases it however the process ends.

    remedy says what to do once a folder that could not be written can be written again.

    Raises:
        InputError: (on entry) another process holds it, or nothing can be written there.
    """

    def __init__(self, folder: Path, remedy: str | None = None) -> None:
        self.folder = folder
        self._remedy = remedy or f"then resume with  {resume_command(folder)}"
        self._lock = FileLock(folder / "lock", blocking=False)

    def __enter__(self) -> Self:
        with self.explained():
            try:
                self._lock.acquire()
            except Timeout:
                raise InputError(
                    f"run {self.folder.name!r} is being trained by another process: wait for it, "
                    "or stop it"
                ) from None
            self._own = os.stat(self._lock.lock_file)
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Use it around all code that writes to the folder.

        Raises:
            InputError: the folder was deleted or replaced, or cannot be written to, for example
                because the disk is full.
        """
        self._check()
        with self.explained():
            yield

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns an OSError into an InputError that names the folder."""
        try:
            yield
        except OSError as error:
            self._check()
            raise InputError(
                f"{self.folder} cannot be written: {error.strerror or error}; repair that, "
                f"{self._remedy}"
            ) from None

    def _check(self) -> None:
        """Refuse if the lock file is not the opened one; its inode is not reused while open."""
        own = getattr(self, "_own", None)
        try:
            same = own is None or os.path.samestat(own, os.stat(self._lock.lock_file))
        except FileNotFoundError:
            same = False
        if not same:
            raise InputError(
                f"{self.folder} was deleted or replaced during the run, so nothing more is written "
                "to it; train again under another name"
            )
