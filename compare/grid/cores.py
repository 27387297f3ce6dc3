"""A grid over all cores of this machine."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from joblib import Parallel, delayed, effective_n_jobs

from compare.grid.crew import Chunks, Crew
from compare.grid.outcome import judge_all


@contextmanager
def all_cores(chunks: Chunks, made_with: dict[str, str]) -> Iterator[Crew]:
    """One process a core, each with one thread. They end with the sweep, however it ends.

    Raises:
        BrokenProcessPool: (while the results are read) a worker was killed.
    """
    work = Parallel(
        n_jobs=-1,
        batch_size=1,
        return_as="generator_unordered",
        initializer=_end_with,
        initargs=(os.getpid(),),
    )
    with _deaf_to_ctrl_c():
        found = work(delayed(judge_all)(chunk, made_with) for chunk in chunks)
    with closing(found):
        yield Crew(effective_n_jobs(-1), found)


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """What is started inside ignores Ctrl-C for good, which a terminal sends to every process at
    once: the sweep ends its workers, and in good order."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end_with(sweep: int) -> None:
    """In each worker: loky's own would wait for work for minutes after their sweep was killed."""

    def watch() -> None:
        while os.getppid() == sweep:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
