"""A hand-written step of each model against torch eager, and batch norm alone, in the processor
time of one thread.

python -m benchmarks.speed.models
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from time import process_time
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

from benchmarks.interleaved import interleaved, machine, ratio
from torch_parity import manual
from torch_parity.compare import data, memory, threads
from torch_parity.compare.case import Case
from torch_parity.compare.sources import pair
from torch_parity.torch_ref.models.step import step

ROUNDS = 31
TITLE = "One step of each model, ms"


@dataclass(frozen=True)
class Timed:
    """One model, or operation, in one precision; ratio is manual / torch eager."""

    name: str
    dtype: str
    manual: float
    eager: float
    ratio: float
    target: float


# The greatest ratio, and what the model is given besides its own defaults
MODELS: Mapping[str, tuple[float, Mapping[str, Any]]] = {
    "convnet": (2.5, {}),
    "resnet": (2.5, {}),
    "char_lstm": (0.9, {}),
    "gpt": (1.2, {"hidden": (64, 4, 4, 4, 4), "batch": 16}),
}
BATCH_NORM = 1.1


def models(rounds: int) -> list[Timed]:
    """Each in both precisions. Memory that a step frees is kept, as in `parity train`."""
    memory.keep_freed()
    with threads.limited(1):
        return [
            _timed(name, dtype, target, methods(dtype), rounds)
            for name, target, methods in [
                ("batch_norm", BATCH_NORM, batch_norm),
                *((m, most, partial(whole_step, m)) for m, (most, _) in MODELS.items()),
            ]
            for dtype in ("float64", "float32")
        ]


def _timed(
    name: str, dtype: str, target: float, methods: Mapping[str, Callable[[], object]], rounds: int
) -> Timed:
    timed = interleaved(methods, rounds, clock=process_time)
    hand, eager = (t.median * 1e3 for t in timed.values())
    return Timed(name, dtype, hand, eager, ratio(timed, *methods), target)


def whole_step(model: str, dtype: str) -> Mapping[str, Callable[[], object]]:
    """One step on each side, nothing recorded."""
    case = Case(model=model, dtype=dtype, p=0.0, l2=0.0, **MODELS[model][1])  # type: ignore[arg-type]
    loaded = data.load(case)
    sides = pair.build(case, loaded)
    x, y = loaded.x_train[: case.batch], sides.targets.y_train[: case.batch]
    task = sides.torch.task
    theirs = partial(
        step, task.net, task.criterion, task.optimizer, torch.tensor(x), torch.tensor(y)
    )
    return {
        "by hand": lambda: sides.manual.step(sides.params, sides.state, x, y, {}),
        "torch": theirs,
    }


def batch_norm(dtype: str) -> Mapping[str, Callable[[], object]]:
    """Forward and backward on 64 images of 16 channels, 28 by 28."""
    rng = np.random.default_rng(0)
    x, dout = (rng.normal(size=(64, 16, 28, 28)).astype(dtype) for _ in range(2))
    channels = [np.zeros(16, dtype), *(np.ones(16, dtype) for _ in range(3))]
    mean, var, weight, bias = channels
    tensors = [torch.tensor(a) for a in (mean, var, weight, bias)]
    tx, tdout = torch.tensor(x, requires_grad=True), torch.tensor(dout)
    t_mean, t_var, *affine = tensors
    for p in affine:
        p.requires_grad_()

    def by_hand() -> object:
        manual.batch_norm(x, mean, var, weight, bias, training=True)
        return manual.batch_norm_backward(dout, x, mean, var, weight, training=True)

    def in_torch() -> object:
        out = F.batch_norm(tx, t_mean, t_var, *affine, training=True)
        return torch.autograd.grad(out, (tx, *affine), tdout)

    return {"by hand": by_hand, "torch": in_torch}


def table(found: list[Timed]) -> Table:
    """One row for each."""
    t = Table("", "", title=TITLE, box=None)
    for header in ("manual", "eager", "manual/eager", "target"):
        t.add_column(header, justify="right")
    for f in found:
        missed = " !" if f.ratio > f.target else ""
        times = (f"{f.manual:.2f}", f"{f.eager:.2f}", f"{f.ratio:.2f}{missed}", f"{f.target:.2f}")
        t.add_row(f.name, f.dtype, *times)
    return t


if __name__ == "__main__":
    Console().print(machine(), table(models(ROUNDS)))
