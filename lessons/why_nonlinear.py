"""Without an activation, any number of layers is one linear map.

With g(z) = z, two layers are a = W2 (W1 x + b1) + b2 = W' x + b', where

  W' = W2 W1        (n_2, n_1) (n_1, n_in) -> (n_2, n_in)
  b' = W2 b1 + b2   (n_2,)

and so on for every further layer: the network computes nothing that a single
layer could not, however deep it is. One activation that is not linear breaks
the chain. On circles, which no straight line can part, that is the difference
between guessing and solving.

Source: course week 3, "why do you need non-linear activation functions".
"""

import numpy as np
import torch

from torch_parity import manual
from torch_parity.compare.case import Case
from torch_parity.compare.judge.differences import compare
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.lessons.experiment import Trained, train
from torch_parity.lessons.lesson import Claim, Lesson, Measured, Numbers, Table, claim, judged
from torch_parity.lessons.pictures import boundaries, curves
from torch_parity.torch_ref.ops.linear import linear

HIDDEN = (8, 8)


def measure(seed: int) -> Measured:
    """A linear network, its collapsed form, and the same network with tanh, trained on circles."""
    runs = {
        "identity": train(_case(seed, HIDDEN, "identity")),
        "one layer": train(_case(seed, (), "identity")),
        "tanh": train(_case(seed, HIDDEN, "tanh")),
    }
    numbers = judged(runs.values())
    for label, trained in runs.items():
        for side in SIDES:
            numbers[f"{label}/gap/{side}"] = collapse_gap(trained, side)
            for split in ("train", "dev"):
                numbers[f"{label}/{split}/{side}"] = trained.last(side, f"accuracy/{split}")
    rows = tuple(
        (
            label,
            str(list(trained.pair.manual.net.sizes)),
            *(f"{numbers[f'{label}/gap/{s}']:.1e}" for s in SIDES),
            *(f"{numbers[f'{label}/{p}/{s}']:.1%}" for p in ("train", "dev") for s in SIDES),
        )
        for label, trained in runs.items()
    )
    columns = ("hidden", "sizes", "gap, manual", "torch", "train, manual", "torch", "dev", "torch")
    table = Table("Network against its collapsed W', b' (gap), and its accuracy", columns, rows)
    return Measured(
        numbers,
        (table,),
        {"boundaries": boundaries(runs, 3), "loss": curves(runs, "loss/train")},
        runs,
    )


def collapse_gap(trained: Trained, side: Side) -> float:
    """How far z of the last layer is from x @ W'.T + b', relative to its largest entry."""
    params, depth = trained.params_of(side), len(trained.pair.manual.net.sizes) - 1
    W, b = params["W1"], params["b1"]
    for layer in range(2, depth + 1):
        above = params[f"W{layer}"]
        W, b = above @ W, manual.linear(b[None], above, params[f"b{layer}"])[0]
    x, last = trained.data.x_dev, f"z{depth}"
    deep = trained.trace(side, x)[last]
    flat = manual.linear(x, W, b) if side == "manual" else _linear_in_torch(x, W, b)
    return compare({last: deep}, {last: flat})[0].relative


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """Linear collapses, tanh does not; and what that means for circles."""
    gap = max(n[f"identity/gap/{s}"] for s in SIDES)
    bent = min(n[f"tanh/gap/{s}"] for s in SIDES)
    best = {k: max(n[f"{k}/train/{s}"] for s in SIDES) for k in ("identity", "one layer")}
    solved = min(n[f"tanh/train/{s}"] for s in SIDES)
    scores = (
        f"{len(HIDDEN)} hidden layers without activation reach {best['identity']:.1%} on train, "
        f"a single layer {best['one layer']:.1%}, the same network with tanh {solved:.1%}"
    )
    return (
        claim(
            gap <= 1e-12,
            f"The linear network IS one W', b': its z differs by {gap:.1e} of the largest entry, "
            "which is rounding.",
            f"This network is NOT one W', b': its z differs by {gap:.1e} of the largest entry.",
        ),
        claim(
            bent > 1e-2,
            f"With tanh no such W', b' follows from the product of its weights: {bent:.0%} off.",
            f"With tanh the product of the weights does as well: only {bent:.1e} off.",
        ),
        claim(
            best["identity"] <= best["one layer"] + 0.1 and solved > best["identity"] + 0.2,
            f"On circles depth alone gains nothing, an activation does: {scores}.",
            f"On these circles the activation was NOT what made the difference: {scores}.",
        ),
    )


def _case(seed: int, hidden: tuple[int, ...], activation: str) -> Case:
    return Case.model_validate(
        {
            "data": "circles",
            "samples": 200,
            "hidden": hidden,
            "activation": activation,
            "initializer": "xavier_normal",
            "bias_scale": 0.3,
            "p": 0,
            "l2": 0,
            "lr": 0.1,
            "batch": 32,
            "steps": 200,
            "seed": seed,
        }
    )


def _linear_in_torch(x: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
    module = linear(W.shape[1], W.shape[0]).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor(W))
        module.bias.copy_(torch.tensor(b))
        return module(torch.tensor(x)).numpy()


LESSON = Lesson("why-nonlinear", ("激活函数 5. 为什么需要激活函数",), __doc__, measure, conclude)
