"""A process that kills itself at its n-th write: files that it opens to write, renames, deletes,
creates, cuts or flushes to the disk, in the order in which it does so."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC


def kill_rank_at(rank: int, victim: int, n: int, below: Path) -> None:
    """The same for one of several ranks."""
    if rank == victim:
        kill_at(n, below)


def kill_at(n: int, below: Path) -> None:
    """Count from now on the writes below a folder. An audit hook stays until the process ends."""
    count = 0
    root = str(below)

    def one_more(path: object) -> None:
        nonlocal count
        if isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(root):
            count += 1
            if count == n:
                os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, args: tuple[Any, ...]) -> None:
        if event in CHANGES or (event == "open" and isinstance(args[2], int) and args[2] & WRITING):
            one_more(args[0])

    fsync = os.fsync

    def counted(fd: Any) -> None:
        one_more(below)
        fsync(fd)

    os.fsync = counted
    sys.addaudithook(audit)
