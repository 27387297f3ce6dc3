"""What torchrun starts for tests/test_distributed.py: one start, and run after run inside it.

argv[1] is a file of runs, [{"folder", "ranks", "fsdp", "mistake"}]. Each takes the first so many
ranks and a process group of its own, so that a dozen runs cost one start. A mistake is one line
that somebody got wrong, in the real program.
"""

import gc
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import GradBucket
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from torch_parity.torch_ref.distributed import checkpoint, job
from torch_parity.torch_ref.distributed import train as distributed
from torch_parity.torch_ref.distributed.over_ranks import PenaltyOfParts, WeightedSum
from torch_parity.torch_ref.distributed.train import Trainer


def plain_ddp(self: Trainer) -> nn.Module:
    """Averages over the ranks, whatever they have."""
    return DistributedDataParallel(self.net)


def no_ddp(self: Trainer) -> nn.Module:
    return self.net


def sum_only(self: WeightedSum, _: object, bucket: GradBucket) -> Future[Tensor]:
    work = dist.all_reduce(bucket.buffer(), async_op=True)
    summed: Future[Tensor] = work.get_future().then(lambda done: done.value()[0])
    return summed


def decay_per_rank(self: PenaltyOfParts) -> float:
    return self.l2 / self.m * dist.get_world_size()


class PenaltyInTheRanksLoss(nn.Module):
    """loss + penalty on every rank, as in one process; the reduction then adds the penalties up."""

    def __init__(self, criterion: nn.Module, trainer: Trainer) -> None:
        super().__init__()
        self.criterion, self.trainer = criterion, trainer

    def forward(self, output: Tensor, y: Tensor) -> Tensor:
        params = self.trainer.parameters()
        weights = [W for n, W in params.items() if n[0] == "W"]
        loss: Tensor = self.criterion(output, y) + self.trainer.penalty.value(weights)
        return loss


def with_penalty(self: Trainer) -> nn.Module:
    self.criterion.criterion = PenaltyInTheRanksLoss(self.criterion.criterion, self)
    return replicate(self)


def own_masks(self: Trainer, m: int, begin: int, end: int) -> None:
    """Every rank draws for its own rows, from the same seed."""
    draw_masks(self, end - begin, 0, end - begin)


def first_shards(self: job.Job, rank: int, world: int) -> range:
    return shards_of(self, 0, world)


def read_with_rate_times_ranks(folder: Path) -> job.Job:
    read = job.read(folder)
    lr = read.options["lr"] * dist.get_world_size()
    return replace(read, options=read.options | {"lr": lr})


def stop_at_25(self: Trainer, number: int) -> Any:
    if number == 25:
        raise StopIteration
    return step(self, number)


def load_damaged(folder: Path, *args: Any) -> checkpoint.Found:
    """A bit of the newest checkpoint has changed since it was written."""
    if dist.get_rank() == 0:
        path = max(folder.glob("step-*/__2_0.distcp"))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    return load(folder, *args)


load = checkpoint.load
replicate, draw_masks, step = Trainer._replicate, Trainer._draw_masks, Trainer.step
shards_of = job.Job.shards_of

MISTAKES: dict[str, list[tuple[Any, str, Any]]] = {
    "mean_of_means": [(Trainer, "_replicate", plain_ddp)],
    "sum_averaged_over_ranks": [(Trainer, "_replicate", plain_ddp)],
    "summed_over_ranks": [(WeightedSum, "bucket", sum_only)],
    "not_reduced": [(Trainer, "_replicate", no_ddp)],
    "penalty_on_every_rank": [(PenaltyOfParts, "weight_decay", property(decay_per_rank))],
    "penalty_in_every_loss": [
        (Trainer, "_replicate", with_penalty),
        (PenaltyOfParts, "weight_decay", 0.0),
    ],
    "same_mask_on_every_rank": [(Trainer, "_draw_masks", own_masks)],
    "overlapping_shards": [(job.Job, "shards_of", first_shards)],
    "rate_times_ranks": [(distributed, "read", read_with_rate_times_ranks)],
    "damaged checkpoint": [(checkpoint, "load", load_damaged)],
    "stop at 25": [(Trainer, "step", stop_at_25)],
}


@contextmanager
def mistaken(name: str | None) -> Iterator[None]:
    with ExitStack() as stack:
        for patched in MISTAKES[name] if name else ():
            stack.enter_context(patch.object(*patched))
        yield


def main() -> None:
    runs = Path(sys.argv[1])
    rank = int(os.environ["RANK"])
    for i, run in enumerate(json.loads(runs.read_text())):
        if rank >= run["ranks"]:
            continue
        store = dist.FileStore(str(runs.with_name(f"store-{i}")), run["ranks"])
        dist.init_process_group(store=store, rank=rank, world_size=run["ranks"])
        torch.manual_seed(rank)  # of the initializers, whose numbers must not matter
        try:
            with mistaken(run["mistake"]):
                distributed.train(Path(run["folder"]), run["fsdp"], traces=3, every=10)
        except StopIteration:
            pass
        finally:
            dist.destroy_process_group()
            gc.collect()  # ends the group's threads now, not in the middle of the next run


main()
distributed.leave()
