"""What to train, as a folder: job.json, start.safetensors with the parameters, a file of rows for
each shard, and checksums.json with the checksum of each of them.

The number of ranks is chosen when the run starts, and may be smaller after a restart. The rows of a
step depend on the job only, so the step is the same for any number of ranks.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load, save
from torch import Tensor

from torch_parity.torch_ref.distributed.files import (
    FileError,
    checksum,
    read_record,
    write,
    write_record,
)
from torch_parity.torch_ref.trace import Names

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Called:
    """What the tensors of a step are called, as in trace.Names; parameters in the module's order.

    gradient, loss_gradient and slot are patterns such as "d{}" and "{}.grad".
    """

    parameters: list[str]
    input: str
    outputs: dict[str, list[str]]
    inputs: dict[str, str]
    masks: dict[str, str]
    gradient: str
    loss_gradient: str
    slot: str

    def names(self) -> Names:
        """As trace.py takes them."""
        return Names(
            input=self.input,
            outputs={path: tuple(made) for path, made in self.outputs.items()},
            masks=self.masks,
            gradient=self.gradient.format,
            loss_gradient=self.loss_gradient.format,
            slot=self.slot.format,
            of_micro_batch="{}_m{}".format,
            unclipped="{}_unclipped".format,
            inputs=self.inputs,
        )


@dataclass(frozen=True)
class Job:
    """rows holds the number of samples of each shard, m their sum; options are the optimizer's.

    model is the name of a file in torch_ref/models, and choices are the arguments of its class;
    masks hold the shape of each dropout mask of one sample, in the order in which they are drawn;
    mask_axes the axes of the whole mask as they lie in memory, where the draws follow each other:
    what an LSTM returns has time before the samples.
    batch is the greatest number of samples in a step, over all ranks.
    """

    model: str
    kind: str
    choices: dict[str, Any]
    called: Called
    masks: dict[str, list[int]]
    mask_axes: dict[str, list[int]]
    loss: str
    reduction: Literal["mean", "sum", "batchmean"]
    p: float
    l1: float
    l2: float
    l2_route: Literal["weight_decay", "loss"]
    optimizer: str
    options: dict[str, float]
    dtype: str
    steps: int
    batch: int
    seed: int
    rows: tuple[int, ...]

    @property
    def m(self) -> int:
        """Samples in all shards."""
        return sum(self.rows)

    @property
    def steps_per_epoch(self) -> int:
        """ceil(m / batch)."""
        return -(-self.m // self.batch)

    def rows_of(self, shard: int, step: int) -> Tensor:
        """Which rows of a shard belong to a step, counted from 1; each epoch has each row once.

        Every shard is shuffled in each epoch and cut into as many parts as the epoch has steps, so
        a rank computes its rows and those of the others without communication.
        """
        epoch, part = divmod(step - 1, self.steps_per_epoch)
        seed = self.seed + epoch * len(self.rows) + shard
        return _shuffled(self.rows[shard], seed).tensor_split(self.steps_per_epoch)[part]

    def cuts(self, step: int, world: int) -> list[int]:
        """Where each rank's rows begin in the step's whole batch, and where the last ones end.

        Rank r has the shards from shards * r // world on, so the whole batch is in the order of the
        shards for any number of ranks.
        """
        counts = [len(self.rows_of(shard, step)) for shard in range(len(self.rows))]
        begins = [0, *accumulate(counts)]
        return [begins[len(self.rows) * rank // world] for rank in range(world + 1)]

    def shards_of(self, rank: int, world: int) -> range:
        """The shards that a rank reads."""
        return range(len(self.rows) * rank // world, len(self.rows) * (rank + 1) // world)

    def write(self, folder: Path, start: Tensors, shards: list[Tensors]) -> None:
        """The whole folder: start are the parameters, a shard is {"x": ..., "y": ...}."""
        write(folder / "job.json", json.dumps(asdict(self), indent=1).encode())
        write(folder / "start.safetensors", save(start))
        for i, shard in enumerate(shards):
            write(folder / shard_file(i), save(shard))
        files = ["job.json", "start.safetensors", *map(shard_file, range(len(shards)))]
        write_record(folder / "checksums.json", {name: checksum(folder / name) for name in files})


def read(folder: Path) -> Job:
    """The job in this folder.

    Raises:
        FileError: it is missing, or is not the one that parity shard wrote.
    """
    check(folder, ["job.json"])
    values = json.loads((folder / "job.json").read_text())
    return Job(**values | {"called": Called(**values["called"]), "rows": tuple(values["rows"])})


def check(folder: Path, names: Iterable[str]) -> None:
    """Refuse files that are not the ones that parity shard wrote.

    Raises:
        FileError: one is missing or changed.
    """
    expected = read_record(folder / "checksums.json")
    for name in names:
        if checksum(folder / name) != expected.get(name):
            raise FileError(
                f"{folder / name} is not the one that parity shard wrote: it does not match its "
                "checksum; write the folder again"
            )


def shard_file(shard: int) -> str:
    """The name of a shard's file."""
    return f"shard-{shard}.safetensors"


def read_shard(folder: Path, shard: int) -> tuple[Tensor, Tensor]:
    """(x, y) of one shard."""
    tensors = load((folder / shard_file(shard)).read_bytes())
    return tensors["x"], tensors["y"]


@lru_cache(maxsize=64)
def _shuffled(rows: int, seed: int) -> Tensor:
    return torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
