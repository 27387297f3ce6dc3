"""First weights: equal ones never part, and large ones saturate the units.

  zeros   W = 0                       all units of a layer compute the same, so
                                      they get the same gradient, for ever
  normal  W ~ N(0, 0.01^2)            |z| is small, so g'(z) is large
  large   W ~ N(0, 10^2)              |z| is large, g'(z) tiny: slow descent
  Xavier  W ~ N(0, 2/(n_in + n_out))  keeps the size of z from layer to layer
  He      W ~ N(0, 2/n_in)            the same for relu, which halves its input

W is (n_out, n_in), b = 0. The 0.01 of the course does for one hidden layer; in
a deeper network the signal shrinks with every layer, and Xavier or He is right.

Source: course week 3, "random initialization"; course 2 week 1, "weight
initialization".
"""

import numpy as np

from torch_parity.compare.case import Case
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.lessons.experiment import Trained, slope, train
from torch_parity.lessons.lesson import Claim, Lesson, Measured, Numbers, Table, claim, judged
from torch_parity.lessons.pictures import curves

STARTS: dict[str, dict[str, object]] = {
    "zeros": {"initializer": "zeros"},
    "zeros, sigmoid": {"initializer": "zeros", "activation": "sigmoid", "lr": 0.5},
    "normal 0.01": {"initializer": "normal", "scale": 0.01},
    "normal 10": {"initializer": "normal", "scale": 10.0},
    "Xavier": {"initializer": "xavier_normal"},
    "He": {"initializer": "kaiming_normal"},
}
SYMMETRIC = ("zeros", "zeros, sigmoid")


def measure(seed: int) -> Measured:
    """The same network from each start, on circles, with what its units look like at the start."""
    runs = {label: train(_case(seed, options)) for label, options in STARTS.items()}
    numbers = judged(runs.values())
    for label, trained in runs.items():
        for side in SIDES:
            numbers |= {
                f"{label}/train/{side}": trained.last(side, "accuracy/train"),
                f"{label}/dev/{side}": trained.last(side, "accuracy/dev"),
                f"{label}/loss/{side}": trained.last(side, "loss/train"),
                f"{label}/spread/{side}": spread(trained, side),
                f"{label}/slope/{side}": first_slope(trained, side),
            }
    what = ("train", "dev", "loss", "spread", "slope")
    rows = tuple(
        (label, side, *_shown([numbers[f"{label}/{w}/{side}"] for w in what]))
        for label in runs
        for side in SIDES
    )
    columns = ("start", "side", "train", "dev", "loss", "units differ by", "slope at start")
    return Measured(
        numbers,
        (Table("Circles, 2 hidden layers, 200 steps", columns, rows),),
        {"loss": curves(runs, "loss/train"), "accuracy": curves(runs, "accuracy/dev")},
        runs,
    )


def spread(trained: Trained, side: Side) -> float:
    """How far the units of the first layer are apart: the greatest difference between two rows
    of W1 after training."""
    W = trained.params_of(side)["W1"]
    return float((W.max(axis=0) - W.min(axis=0)).max())


def first_slope(trained: Trained, side: Side) -> float:
    """The mean of g'(z1) over units and samples, before the first step."""
    z1 = trained.before().trace(side, trained.data.x_train)["z1"]
    return float(np.mean(slope(side, trained.case.activation, z1)))


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """Symmetry stays, large weights are flat, small ones are slow, Xavier and He work."""
    return _symmetry(n), _large(n), _small(n)


def _symmetry(n: Numbers) -> Claim:
    apart = max(n[f"{label}/spread/{s}"] for label in SYMMETRIC for s in SIDES)
    drawn = min(n[f"normal 0.01/spread/{s}"] for s in SIDES)
    right = max(n[f"{label}/dev/{s}"] for label in SYMMETRIC for s in SIDES)
    return claim(
        apart < 1e-9 < drawn and right <= 0.6,
        f"From zeros the units of a layer stay the same: after training they differ by "
        f"{apart:.1e} at most (from N(0, 0.01^2) by {drawn:.2g}), and {right:.0%} of dev is right.",
        f"From zeros the units did NOT stay useless copies: they differ by {apart:.1e}, and "
        f"{right:.0%} of dev is right.",
    )


def _large(n: Numbers) -> Claim:
    flat = max(n[f"normal 10/slope/{s}"] for s in SIDES)
    steep = min(n[f"Xavier/slope/{s}"] for s in SIDES)
    worse, better = (
        max(n[f"normal 10/dev/{s}"] for s in SIDES),
        min(n[f"Xavier/dev/{s}"] for s in SIDES),
    )
    found = (
        f"at the start their mean slope is {flat:.3f} against {steep:.3f} from Xavier, and in the "
        f"end {worse:.1%} of dev is right against {better:.1%}"
    )
    return claim(
        flat < 0.5 * steep and worse < better,
        f"Large weights saturate the units: {found}.",
        f"Large weights did NOT both saturate the units and cost accuracy here: {found}.",
    )


def _small(n: Numbers) -> Claim:
    small = max(n[f"normal 0.01/loss/{s}"] for s in SIDES)
    xavier, he = (max(n[f"{label}/loss/{s}"] for s in SIDES) for label in ("Xavier", "He"))
    found = f"loss {small:.3f} from 0.01, {xavier:.3f} from Xavier, {he:.3f} from He"
    return claim(
        max(xavier, he) < 0.5 * small,
        f"In this deeper network 0.01 is too small, Xavier and He are right: {found}.",
        f"Xavier and He are NOT far ahead of 0.01 here: {found}.",
    )


def _case(seed: int, options: dict[str, object]) -> Case:
    base: dict[str, object] = {
        "data": "circles",
        "samples": 300,
        "hidden": (10, 5),
        "activation": "tanh",
        "bias_scale": 0,
        "p": 0,
        "l2": 0,
        "lr": 0.1,
        "steps": 200,
        "batch": 60,
        "log_every": 20,
        "seed": seed,
    }
    return Case.model_validate(base | options)


def _shown(values: list[float]) -> tuple[str, ...]:
    train, dev, loss, apart, steep = values
    return f"{train:.1%}", f"{dev:.1%}", f"{loss:.4f}", f"{apart:.2g}", f"{steep:.3f}"


LESSON = Lesson("initialization", ("初始化参数",), __doc__, measure, conclude)
