"""The same step on many ranks: each has its own rows, and an all-reduce adds the gradients.

    torchrun --nproc-per-node 4 -m torch_parity.torch_ref.distributed FOLDER

`parity shard` writes FOLDER. torch averages over ranks, which is the mean over the batch only if
all ranks have the same number of rows; so here each rank's mean is weighted. Every rank draws the
dropout masks of the whole batch, from generators in the same state, and uses its own rows: the step
equals that of one process, for any number of ranks.
"""

import argparse
import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.elastic.multiprocessing.errors import record as report_errors
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.utils.tensorboard import SummaryWriter

from torch_parity.torch_ref.distributed import checkpoint
from torch_parity.torch_ref.distributed.files import FileError, refuse_links, write
from torch_parity.torch_ref.distributed.job import Job, Tensors, check, read, read_shard, shard_file
from torch_parity.torch_ref.distributed.over_ranks import (
    LossOverRanks,
    OwnGradients,
    PenaltyOfParts,
    WeightedSum,
    whole_tensor,
)
from torch_parity.torch_ref.losses.regularization import parameter_groups
from torch_parity.torch_ref.models.mlp import MLP
from torch_parity.torch_ref.operations import find
from torch_parity.torch_ref.ops.dropout import FixedDropout
from torch_parity.torch_ref.trace import OPTIMIZERS, Names, Task, memory, recorded_step


class Trainer:
    """One rank of a run: its rows, its copy (or, with FSDP2, its part) of the network."""

    def __init__(self, folder: Path, job: Job, fsdp: bool) -> None:
        self.job, self.rank, self.world = job, dist.get_rank(), dist.get_world_size()
        if self.world > len(job.rows):
            raise SystemExit(
                f"{folder} has {len(job.rows)} shards, too few for {self.world} ranks; start fewer "
                "ranks, or write more shards:  parity shard --shards N"
            )
        self.device = _device()
        own = job.shards_of(self.rank, self.world)
        check(folder, ["start.safetensors", *map(shard_file, own)])
        self.shards = {i: read_shard(folder, i) for i in own}
        self.over_ranks = WeightedSum()
        self.criterion = LossOverRanks(find(job.loss)(job.reduction), self.over_ranks)
        self.net = _network(folder, job).to(self.device)
        self.wrapper = self._fully_shard() if fsdp else self._replicate()
        make, self.read = OPTIMIZERS[job.optimizer]
        # m of all shards: divided by a shard's own m the penalty would be too strong
        self.penalty = PenaltyOfParts(job.l1, job.l2, job.m, job.l2_route)
        decay = job.options.get("weight_decay", self.penalty.weight_decay)
        groups = parameter_groups(self.net, decay)
        self.optimizer = make(groups, **job.options)

    def _replicate(self) -> nn.Module:
        """One bucket a parameter: DistributedDataParallel rearranges larger ones after the first
        step, and where a number lies in its bucket decides the order in which the ranks' shares
        are added, so that a run that was resumed would round otherwise."""
        wrapper = DistributedDataParallel(self.net, bucket_cap_mb=0)
        wrapper.register_comm_hook(None, self.over_ranks.bucket)
        return wrapper

    def _fully_shard(self) -> nn.Module:
        """FSDP2 must not divide here: the weighted mean does."""
        fully_shard(self.net, mesh=init_device_mesh(self.device.type, (self.world,)))
        sharded = cast(FSDPModule, self.net)
        sharded.set_custom_reduce_scatter(cast(Any, self.over_ranks))
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)
        return self.net

    def step(self, number: int) -> tuple[Tensors, Tensors]:
        """One step -> (its inputs, the tensors that it computed), those of this rank.

        Raises:
            ArithmeticError: a number is NaN or infinite.
        """
        cuts = self.job.cuts(number, self.world)
        begin, end, m = cuts[self.rank], cuts[self.rank + 1], cuts[-1]
        self.over_ranks.weight = (end - begin) / m if self.job.reduction != "sum" else 1.0
        x, y = self._rows(number)
        self._draw_masks(m, begin, end)
        given = self.state()
        with OwnGradients(self.net) as own:
            task = Task(
                self.net,
                parameters(self.net),
                self.criterion,
                self.optimizer,
                self.read,
                self.penalty,
                names(self.net),
                self.wrapper,
            )
            made, masks = recorded_step(task, x, y)
        if "loss" not in made or not made["loss"].isfinite():
            raise ArithmeticError(f"training diverged in step {number}; try a smaller lr")
        mine = {"x": x, "y": y, **masks, "loss_own": self.criterion.own, **own.tensors}
        return given, mine | made

    def state(self) -> Tensors:
        """Copies of the parameters and of the optimizer's memory."""
        params = parameters(self.net)
        kept = {name: p.detach().clone() for name, p in params.items()}
        return kept | memory(self.optimizer, self.read, params, names(self.net))

    def _rows(self, step: int) -> tuple[Tensor, Tensor]:
        parts = [
            (x[rows], y[rows])
            for shard, (x, y) in self.shards.items()
            for rows in [self.job.rows_of(shard, step)]
        ]
        x, y = (torch.cat(tensors).to(self.device) for tensors in zip(*parts, strict=True))
        return x, y

    def _draw_masks(self, m: int, begin: int, end: int) -> None:
        """Draw the masks as nn.Dropout does in one process, in the order of the layers; on the CPU,
        whose generator gives the same numbers on every machine."""
        dropouts = [layer for layer in self.net if isinstance(layer, FixedDropout)]
        for layer, n in zip(dropouts, self.job.sizes[1:], strict=False):
            ones = torch.ones(m, n, dtype=getattr(torch, self.job.dtype))
            mask = nn.functional.dropout(ones, self.job.p)[begin:end]
            layer.mask = mask.to(self.device)


def train(folder: Path, fsdp: bool = False, traces: int = 0, every: int = 100) -> None:
    """Train the folder's job from its last checkpoint, in an existing process group.

    Writes into the folder: checkpoints/ every few steps, tensorboard/ and
    final.safetensors by rank 0, and traces/ of the first steps by every rank.

    Raises:
        ArithmeticError: training diverged.
        FileError: a file of the run is damaged, changed or a link; the message names it.
    """
    refuse_links(folder)
    job = read(folder)
    trainer = Trainer(folder, job, fsdp)
    torch.manual_seed(job.seed)  # of the masks, the same on every rank
    found = checkpoint.load(folder / "checkpoints", job, trainer.net, trainer.optimizer)
    done, first = found.step, trainer.rank == 0
    if first:
        for note in found.notes:
            print(f"NOTE {note}", flush=True)
        if done:
            print(f"resuming after step {done} of {job.steps}", flush=True)
    # points after the checkpoint are purged: those steps are run again
    writer = SummaryWriter(folder / "tensorboard", purge_step=done + 1) if first else nullcontext()
    with writer as curves:
        for step in range(done + 1, job.steps + 1):
            given, made = trainer.step(step)
            if step <= traces:
                _write_trace(folder, step, trainer.rank, whole(given), whole(made))
            numbers = _curves(made, list(parameters(trainer.net)))
            if curves:
                for tag, value in numbers.items():
                    curves.add_scalar(tag, value, step)
            if step % every == 0:
                if curves:
                    curves.flush()
                home = folder / "checkpoints"
                checkpoint.save(home, step, job, trainer.net, trainer.optimizer)
    last = whole(trainer.state())
    if first:
        write(folder / "final.safetensors", save(last))


def whole(tensors: Tensors) -> Tensors:
    """Every tensor in one piece and on the CPU. FSDP2 keeps a part of each on every rank, so all
    ranks must call this together."""
    return {name: whole_tensor(t).cpu().contiguous() for name, t in tensors.items()}


def _device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]))


def parameters(net: nn.Module) -> dict[str, nn.Parameter]:
    """Under the course's names: W1, b1, W2, b2..."""
    kinds = {"weight": "W", "bias": "b"}
    split = ((name.split("."), p) for name, p in net.named_parameters())
    return {kinds[kind] + child.removeprefix("z"): p for (child, kind), p in split}


def names(net: nn.Module) -> Names:
    """The names of the other tensors, also the course's: h0, z1, a1, h1, dz1, mask1, vW1..."""
    children = [name for name, _ in net.named_children()]
    return Names(
        input="h0",
        outputs={name: (name,) for name in children},
        masks={name: f"mask{name[1:]}" for name in children if name.startswith("h")},
        gradient=lambda name: f"d{name}",
        loss_gradient=lambda name: f"d{name}_loss",
        slot=lambda slot, name: f"{slot}{name}",
    )


def _network(folder: Path, job: Job) -> MLP:
    """The network with the job's parameters, and a FixedDropout in the place of each nn.Dropout."""
    net = MLP(job.sizes, job.activation, job.output, job.negative_slope, p=job.p)
    net.to(getattr(torch, job.dtype))
    for name, module in list(net.named_children()):
        if isinstance(module, nn.Dropout):
            setattr(net, name, FixedDropout(torch.ones(1)))
    start = load_file(folder / "start.safetensors")
    with torch.no_grad():
        for name, p in parameters(net).items():
            p.copy_(start[name])
    return net


def _curves(made: Tensors, params: list[str]) -> dict[str, float]:
    """The same tags as `parity train`'s."""
    numbers = {f"{name}/batch": made[name] for name in ("loss", "cost") if name in made}
    for name in params:
        numbers[f"gradient_norm/{name}"] = made["d" + name].norm()
        numbers[f"weight_norm/{name}"] = made[name].norm()
    return {tag: float(t) for tag, t in whole(numbers).items()}


def _write_trace(folder: Path, step: int, rank: int, given: Tensors, made: Tensors) -> None:
    """Write a trace file; docs/trace-format.md describes it."""
    (folder / "traces").mkdir(exist_ok=True)
    content = save(
        {f"given/{n}": t for n, t in given.items()} | {f"made/{n}": t for n, t in made.items()},
        {"format": "torch-parity trace", "version": "1", "order": json.dumps(list(made))},
    )
    write(folder / "traces" / f"step-{step}-rank-{rank}.safetensors", content)


def _stale_store() -> bool:
    """Whether the ranks use torchrun's own store. It keeps its content over a restart, so that a
    restarted run hangs or fails to connect (pytorch issue 135712)."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def leave() -> NoReturn:
    """End the process at once, with status 0.

    Gloo's threads outlive destroy_process_group (FSDP2 keeps its process group). If one of them
    frees a tensor while Python shuts down, the process aborts, and torchrun reports a failed run
    (pytorch pull request 179291).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


@report_errors
def main() -> None:
    """The command that torchrun starts on every rank."""
    parser = argparse.ArgumentParser(
        prog="torch_parity.torch_ref.distributed.train", description="One rank of a run."
    )
    parser.add_argument("folder", type=Path, help="what parity shard wrote")
    parser.add_argument("--fsdp", action="store_true", help="FSDP2 (fully_shard), not DDP")
    parser.add_argument("--traces", type=int, default=0, help="write these first steps as traces")
    parser.add_argument("--every", type=int, default=100, help="steps between two checkpoints")
    asked = parser.parse_args()
    if not (asked.folder / "job.json").is_file():
        parser.error(f"{asked.folder} holds no job.json; write one:  parity shard --out FOLDER")
    if int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0)) and _stale_store():
        parser.error(
            "torchrun would hand restarted ranks the addresses of the lost ones; set "
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for it, or leave out --max-restarts"
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(_device())
    dist.init_process_group()
    try:
        train(asked.folder, asked.fsdp, asked.traces, asked.every)
    except FileError as error:
        raise SystemExit(str(error)) from None
    finally:
        dist.destroy_process_group()
