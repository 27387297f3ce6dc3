"""How much memory there is, a limit on how much a judgement may take, and what becomes of memory
that was freed."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GB = 2**30

# Two settings of glibc's malloc, by their numbers in malloc.h: the free bytes at the end of its
# memory that it keeps, and the size from which an array is given memory of its own.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT, LARGE = GB // 4, GB // 32


def of_this_machine() -> float:
    """Bytes; infinity where the system does not say."""
    if not hasattr(os, "sysconf"):
        return float("inf")
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@contextmanager
def limited(most: float) -> Iterator[None]:
    """Inside, the process gets at most so many more bytes from the system, then MemoryError. On
    Linux only; elsewhere nothing is limited."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    held = int(statm.read_text().split()[0]) * resource.getpagesize()
    limits = [held + int(most), *(limit for limit in before if limit != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def keep_freed() -> None:
    """From here on, memory that was freed stays with this process, up to KEPT bytes.

    Otherwise glibc gives the arrays of a step back to the system, and the next step gets other
    pages, each of which the system has to clear: a third of a step, if arrays have megabytes.
    Nothing changes where the C library is another one.
    """
    if sys.platform != "linux":
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_MMAP_THRESHOLD, LARGE)
