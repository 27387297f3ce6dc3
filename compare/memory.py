"""How much memory there is, and a limit on how much a judgement may take."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GB = 2**30


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
