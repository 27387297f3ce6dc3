"""A grid over all cores of this machine."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager

from joblib import Parallel, delayed, effective_n_jobs

from torch_parity.compare.grid.outcome import judge_all
from torch_parity.compare.grid.parent_watch import exit_with
from torch_parity.compare.grid.workers import Chunks, Workers


@contextmanager
def all_cores(chunks: Chunks, made_with: dict[str, str]) -> Iterator[Workers]:
    """One process per core, each with one thread. They end when this process ends, even if killed.

    Raises:
        BrokenProcessPool: (while the results are read) a worker was killed.
    """
    work = Parallel(
        n_jobs=-1,
        batch_size=1,
        return_as="generator_unordered",
        initializer=exit_with,
        initargs=(os.getpid(),),
    )
    with _ignoring_sigint():
        found = work(delayed(judge_all)(chunk, made_with) for chunk in chunks)
    with closing(found):
        yield Workers(effective_n_jobs(-1), found)


@contextmanager
def _ignoring_sigint() -> Iterator[None]:
    """Processes that are started inside ignore Ctrl-C, which a terminal sends to all processes at
    once; the sweep ends its workers itself. (Inside, this process ignores it too. Blocking the
    signal would not work: loky unblocks it before it starts a worker.)"""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
