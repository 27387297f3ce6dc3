"""L1 and L2: weights end up smaller, and the output changes more slowly.

  L2  J = loss + lambda/(2m) sum of W^2    dW = dW_loss + lambda/m W
  L1  J = loss + lambda/(2m) sum of |W|    dW = dW_loss + lambda/(2m) sign W

W (n_out, n_in) and dW have one shape; biases are never penalised. Descent with
L2 is W := (1 - lr lambda/m) W - lr dW_loss, hence "weight decay". In torch it
is either the optimizer's option weight_decay = lambda/m, or a term of the loss
that autograd differentiates; L1 has only the second route. L1 pushes weights to
0 itself, L2 makes all of them smaller.

A model with small weights is smoother. How fast its output changes with its
input is the slope |da/dx|, here computed exactly: by hand by a complex step
through the forward pass, in torch by autograd.

Source: course 2 week 1, "regularization"; programming assignment
"regularization", "what is L2-regularization actually doing?".
"""

from itertools import pairwise

import numpy as np
import torch
from matplotlib.figure import Figure

from torch_parity import manual
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.compare.judge.witness import STEP
from torch_parity.lessons.experiment import Trained, noisy_moons, train
from torch_parity.lessons.lesson import Claim, Lesson, Measured, Numbers, Table, claim, judged
from torch_parity.lessons.pictures import boundaries, grid, legend, panels

PENALTIES: dict[str, dict[str, object]] = {
    "none": {},
    "L2 0.1": {"l2": 0.1},
    "L2 0.3": {"l2": 0.3},
    "L2 1": {"l2": 1.0},
    "L2 1 in loss": {"l2": 1.0, "l2_route": "loss"},
    "L1 0.1": {"l1": 0.1},
    "L1 0.3": {"l1": 0.3},
}
BY_LAMBDA = ("none", "L2 0.1", "L2 0.3", "L2 1")
SMALL = 0.01


def measure(seed: int) -> Measured:
    """The same large network on few noisy moons, under each penalty."""
    runs = {label: train(noisy_moons(seed, **options)) for label, options in PENALTIES.items()}
    numbers = judged(runs.values())
    for label, trained in runs.items():
        for side in SIDES:
            W = weights(trained, side)
            numbers |= {
                f"{label}/train/{side}": trained.last(side, "accuracy/train"),
                f"{label}/dev/{side}": trained.last(side, "accuracy/dev"),
                f"{label}/size/{side}": float(np.sqrt(np.mean(W**2))),
                f"{label}/small/{side}": float(np.mean(np.abs(W) < SMALL)),
                f"{label}/slope/{side}": float(slopes(trained, side).max()),
            }
    ends = [weights(runs[label], "torch") for label in ("L2 1", "L2 1 in loss")]
    numbers["routes"] = float(np.abs(ends[0] - ends[1]).max() / np.abs(ends[0]).max())
    rows = tuple(
        (label, side, *_shown(numbers, label, side)) for label in PENALTIES for side in SIDES
    )
    columns = ("penalty", "side", "train", "dev", "rms of W", f"|W| < {SMALL}", "max |da/dx|")
    figures = {"boundaries": boundaries(runs, 4), "weights": _histograms(runs)}
    return Measured(numbers, (Table("Moons, 60 samples", columns, rows),), figures, runs)


def weights(trained: Trained, side: Side) -> np.ndarray:
    """All weights, without the biases, in one row."""
    params = trained.params_of(side)
    return np.concatenate([p.ravel() for name, p in params.items() if name.startswith("W")])


def slopes(trained: Trained, side: Side) -> np.ndarray:
    """|da/dx| at each point of the plane                       # -> [points]"""
    _, _, rows = grid(trained, 40)
    net = trained.pair.manual.net
    if side == "torch":
        x = torch.tensor(rows, requires_grad=True)
        trained.pair.torch.net.eval()(x).sum().backward()
        assert x.grad is not None, "backward has just been called"
        return x.grad.norm(dim=1).numpy()
    along = []
    for direction in np.eye(rows.shape[1]):
        moved = manual.forward(net, trained.params, rows + 1j * STEP * direction, {})
        along.append(moved[net.result].imag[:, 0] / STEP)
    return np.linalg.norm(along, axis=0)


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """Smaller, smoother, sparse by L1, and one L2 by two routes."""
    size, slope = (_by_lambda(n, what) for what in ("size", "slope"))
    return (
        claim(
            _falls(n, "size"),
            f"The larger lambda, the smaller the weights: rms {size}.",
            f"The weights do NOT shrink steadily with lambda: rms {size}.",
        ),
        claim(
            _falls(n, "slope"),
            f"The larger lambda, the more slowly the output changes: steepest slope {slope}.",
            f"The output does NOT get steadily smoother with lambda: steepest slope {slope}.",
        ),
        _l1(n),
        _routes(n),
    )


def _by_lambda(n: Numbers, what: str) -> str:
    return ", ".join(f"{n[f'{label}/{what}/manual']:.3g} ({label})" for label in BY_LAMBDA)


def _falls(n: Numbers, what: str) -> bool:
    """Whether it falls with every step of lambda, on both sides."""
    values = [[n[f"{label}/{what}/{s}"] for label in BY_LAMBDA] for s in SIDES]
    return all(less > more for side in values for less, more in pairwise(side))


def _l1(n: Numbers) -> Claim:
    zeros = {k: [n[f"{k}/small/{s}"] for s in SIDES] for k in ("none", "L2 1", "L1 0.3")}
    found = ", ".join(f"{v[0]:.0%} with {label}" for label, v in zeros.items())
    return claim(
        min(zeros["L1 0.3"]) > max(*zeros["L2 1"], *zeros["none"]) + 0.2,
        f"L1 pushes weights to 0 itself, L2 does not: |W| < {SMALL} in {found}.",
        f"L1 is NOT far ahead of L2 in pushing weights to 0: |W| < {SMALL} in {found}.",
    )


def _routes(n: Numbers) -> Claim:
    return claim(
        n["routes"] <= 1e-6,
        "weight_decay and a term of the loss are one L2: torch's weights end "
        f"{n['routes']:.1e} of the largest apart.",
        f"weight_decay and a term of the loss end {n['routes']:.1e} of the largest weight apart.",
    )


def _shown(n: Numbers, label: str, side: Side) -> tuple[str, ...]:
    train, dev, size, small, slope = (
        n[f"{label}/{what}/{side}"] for what in ("train", "dev", "size", "small", "slope")
    )
    return f"{train:.1%}", f"{dev:.1%}", f"{size:.4f}", f"{small:.1%}", f"{slope:.4f}"


def _histograms(runs: dict[str, Trained]) -> Figure:
    figure, axes = panels(1, len(runs), width=2.2, alike=True)
    for ax, (label, trained) in zip(axes, runs.items(), strict=True):
        by_hand, in_torch = (weights(trained, side) for side in SIDES)
        ax.hist(by_hand, bins=60, range=(-2, 2), label="manual", alpha=0.35)
        ax.hist(in_torch, bins=60, range=(-2, 2), label="torch", histtype="step", color="black")
        ax.set(title=label, yscale="log", xlabel="weight")
    legend(figure)
    return figure


LESSON = Lesson(
    "regularization",
    ("正则化", "What is L2-regularization actually doing?"),
    __doc__,
    measure,
    conclude,
)
