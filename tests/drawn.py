"""Random pairs: every choice of a case drawn from one seed, and a few recorded steps of both sides.

The tests and the benchmarks use it, each with its own seeds.
"""

from collections.abc import Collection
from typing import Any

import numpy as np

from torch_parity.compare.case import Case
from torch_parity.compare.choices import outputs_of
from torch_parity.compare.data import Data
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.recorded import Recorded, record

ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "identity", "softmax", "gelu")
LOSSES = (
    "cross_entropy",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "mse_loss",
)
OPTIMIZERS = ("sgd", "momentum", "momentum_course", "adam")
MORE_LOSSES = ("l1_loss", "smooth_l1_loss", "huber_loss", "multi_margin_loss")
MORE_OPTIMIZERS = ("nesterov", "rmsprop", "adamw")


def case_and_data(
    seed: int,
    depth: int = 3,
    width: int = 8,
    batch: int = 12,
    scale: float = 1.0,
    without: Collection[str] = (),
    more: bool = False,
    **fixed: Any,
) -> tuple[Case, Data]:
    """A case of up to `depth` hidden layers and data that fit it; `fixed` overrides the draw, and
    no loss or optimizer of `without` is drawn. With `more`, it may have any loss or optimizer, a
    schedule, clipping and micro-batches."""
    rng = np.random.default_rng(seed)
    losses, optimizers = LOSSES, OPTIMIZERS
    if more:
        losses, optimizers = LOSSES + MORE_LOSSES, OPTIMIZERS + MORE_OPTIMIZERS
    loss = fixed.get("loss") or str(rng.choice([x for x in losses if x not in without]))
    hidden = (int(2 ** rng.uniform(0, np.log2(width))) for _ in range(rng.integers(0, depth + 1)))
    choices: dict[str, Any] = {
        "hidden": tuple(hidden),
        "activation": str(rng.choice(ACTIVATIONS)),
        "negative_slope": float(rng.uniform(0.01, 0.4)),
        "loss": loss,
        "output": str(rng.choice(outputs_of(loss))),
        "reduction": str(rng.choice(["mean", "sum"])),
        "p": float(rng.choice([0.0, 0.2, 0.7])),
        "l2": float(rng.choice([0.0, 0.7])),
        "l1": float(rng.choice([0.0, 0.3])),
        "l2_route": str(rng.choice(["weight_decay", "loss"])),
        "optimizer": str(rng.choice([x for x in optimizers if x not in without])),
        "initializer": str(rng.choice(["kaiming_normal", "xavier_normal", "xavier_course"])),
        "bias_scale": 0.5,
        "lr": 0.05,
        "seed": seed,
    }
    chosen = choices | fixed
    if chosen["optimizer"] == "adamw":
        chosen["l2_route"] = "weight_decay"
    if more:
        chosen = _how_to_train(np.random.default_rng([seed, 5])) | chosen
        if chosen["l1"] and chosen["l2"] and chosen["l2_route"] == "weight_decay":
            chosen["clip_norm"] = None
    case = Case(**chosen)
    m, n_in, classes = int(rng.integers(2, batch)), int(rng.integers(1, 7)), int(rng.integers(2, 5))
    if case.output == "softmax":
        classes = max(classes, 3)  # one column of softmax is the constant 1
    x = (rng.normal(size=(m, n_in)) * scale).astype(case.dtype)
    labels = rng.integers(0, classes, m)
    return case, Data("drawn", x, labels, x, labels, classes)


def _how_to_train(rng: np.random.Generator) -> dict[str, Any]:
    """Each in a third of the cases: a schedule, clipping, micro-batches."""
    chosen: dict[str, Any] = {"accumulate": 1, "clip_norm": None}
    if rng.random() < 1 / 3:
        chosen |= {"schedule": "step_lr", "step_size": int(rng.integers(1, 4)), "gamma": 0.5}
        if rng.integers(2):
            chosen = {**chosen, "schedule": "cosine_lr", "warmup": int(rng.integers(4))}
    if rng.random() < 1 / 3:
        chosen["clip_norm"] = float(10 ** rng.uniform(-2, 1))
    if rng.random() < 1 / 3:
        chosen["accumulate"] = int(rng.integers(2, 6))
    return chosen


def steps(case: Case, data: Data, count: int = 3) -> list[Recorded]:
    """Some steps, each from torch's state.

    Raises:
        ArithmeticError: the draw does not stay finite, so there is nothing to judge.
    """
    built = pair.build(case, data)
    return record(built, data.x_train, built.targets.y_train, count)
