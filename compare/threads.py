"""One thread each, unless asked otherwise: on few cores the pools of NumPy and torch spin against
each other, and a step takes twenty times as long."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """NumPy's and torch's pools hold `threads` each inside, and what they held before outside."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(limits=threads):
            yield
    finally:
        torch.set_num_threads(before)
