"""A hand-written step of convnet and resnet against torch eager, and batch norm alone: one thread.

python -m benchmarks.speed.images
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.interleaved import interleaved, machine, ratio
from torch_parity import manual
from torch_parity.compare import data
from torch_parity.compare.case import Case
from torch_parity.compare.sources import pair
from torch_parity.torch_ref.models.step import step

ROUNDS = 15
TARGETS = {"batch_norm": 1.1, "convnet": 2.5, "resnet": 2.5, "char_lstm": 0.9, "gpt": 1.2}
CHOICES = {"gpt": {"hidden": (64, 4, 4, 4, 4), "batch": 16}}


def whole_step(model: str, dtype: str) -> Mapping[str, Callable[[], object]]:
    """One step on each side, nothing recorded."""
    case = Case(model=model, dtype=dtype, p=0.0, l2=0.0, **CHOICES.get(model, {}))
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


def main() -> None:
    """A line for each: both medians in ms, their ratio and the target."""
    torch.set_num_threads(1)
    print(machine())
    for name, target in TARGETS.items():
        for dtype in ("float64", "float32"):
            methods = batch_norm(dtype) if name == "batch_norm" else whole_step(name, dtype)
            timed = interleaved(methods, ROUNDS)
            ms = ", ".join(f"{who} {t.median * 1e3:.2f} ms" for who, t in timed.items())
            print(f"{name:10} {dtype}: {ms}, ratio {ratio(timed, *methods):.2f} (target {target})")


if __name__ == "__main__":
    main()
