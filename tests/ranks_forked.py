"""Ranks of a distributed run as processes that are forked from a server with torch imported."""

import multiprocessing.connection
import os
from collections.abc import Callable
from functools import lru_cache
from multiprocessing.context import ForkServerContext
from pathlib import Path

SECONDS = 60  # for a run of some steps


@lru_cache
def server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [__name__, "torch_parity.torch_ref.distributed.train", "torch._dynamo"]
    )
    return context


def run(
    folder: Path,
    ranks: int = 1,
    before: Callable[..., None] | None = None,
    args: tuple[object, ...] = (),
    fsdp: bool = False,
    every: int = 2,
) -> tuple[list[int | None], str]:
    """Train the job in folder -> the exit status of each rank, and what they printed.

    before(rank, *args) is called in each rank at first, to break something. Once a rank was killed,
    so are the others, as torchrun does; after one that ends with an error, the others have the time
    of a run to end themselves, so that a test can tell whether they do.
    """
    said = folder.with_name(f"{folder.name}.said")
    store = folder.with_name(f"{folder.name}.store")
    for path in (said, store):
        path.unlink(missing_ok=True)
    processes = [
        server().Process(
            target=_rank, args=(folder, rank, ranks, said, store, before, args, fsdp, every)
        )
        for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    waiting = list(processes)
    while waiting:
        multiprocessing.connection.wait([p.sentinel for p in waiting], SECONDS)
        ended = [p for p in waiting if not p.is_alive()]
        waiting = [p for p in waiting if p.is_alive()]
        if not ended or any(p.exitcode is not None and p.exitcode < 0 for p in ended):
            for process in waiting:
                process.kill()
    for process in processes:
        process.join()
    return [p.exitcode for p in processes], said.read_text()


def _rank(
    folder: Path,
    rank: int,
    ranks: int,
    said: Path,
    store: Path,
    before: Callable[..., None] | None,
    args: tuple[object, ...],
    fsdp: bool,
    every: int,
) -> None:
    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    import torch
    import torch.distributed as dist

    from torch_parity.torch_ref.distributed import train as distributed
    from torch_parity.torch_ref.distributed.files import FileError

    torch.set_num_threads(1)
    os.environ["LOCAL_RANK"] = str(rank)
    dist.init_process_group(
        "gloo", store=dist.FileStore(str(store), ranks), rank=rank, world_size=ranks
    )
    if before is not None:
        before(rank, *args)
    try:
        distributed.train(folder, fsdp, traces=1, every=every)
    except FileError as error:
        print(f"refused: {error}", flush=True)
        os._exit(2)
    distributed.leave()
