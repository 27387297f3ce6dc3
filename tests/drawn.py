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


def case_and_data(
    seed: int,
    depth: int = 3,
    width: int = 8,
    batch: int = 12,
    scale: float = 1.0,
    without: Collection[str] = (),
    **fixed: Any,
) -> tuple[Case, Data]:
    """A case of up to `depth` hidden layers and data that fit it; `fixed` overrides the draw, and
    no loss or optimizer of `without` is drawn."""
    rng = np.random.default_rng(seed)
    loss = fixed.get("loss") or str(rng.choice([x for x in LOSSES if x not in without]))
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
        "optimizer": str(rng.choice([x for x in OPTIMIZERS if x not in without])),
        "initializer": str(rng.choice(["kaiming_normal", "xavier_normal", "xavier_course"])),
        "bias_scale": 0.5,
        "lr": 0.05,
        "seed": seed,
    }
    case = Case(**(choices | fixed))
    m, n_in, classes = int(rng.integers(2, batch)), int(rng.integers(1, 7)), int(rng.integers(2, 5))
    if case.output == "softmax":
        classes = max(classes, 3)  # one column of softmax is the constant 1
    x = (rng.normal(size=(m, n_in)) * scale).astype(case.dtype)
    labels = rng.integers(0, classes, m)
    return case, Data("drawn", x, labels, x, labels, classes)


def steps(case: Case, data: Data, count: int = 3) -> list[Recorded]:
    """Some steps, each from torch's state.

    Raises:
        ArithmeticError: the draw does not stay finite, so there is nothing to judge.
    """
    built = pair.build(case, data)
    return record(built, data.x_train, built.targets.y_train, count)
