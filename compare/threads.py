"""One thread for each library by default: on few cores the pools of NumPy and torch compete,
and a step takes twenty times as long."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Inside, NumPy's and torch's pools have `threads` threads each; after, as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(limits=threads):
            yield
    finally:
        torch.set_num_threads(before)
