"""Batch norm in training and in evaluation: whose statistics, and the running averages of them."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor, nn

from torch_parity import manual
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.compare.register import OPERATIONS
from torch_parity.compare.show.curves import STYLE
from torch_parity.compare.tensors import to_numpy, to_torch
from torch_parity.lessons.lesson import Claim, Numbers, claim, worst
from torch_parity.lessons.pictures import panels

EPS, MOMENTUM = 1e-5, 0.1
N = 4  # units
BATCHES, MEAN, DEVIATION = 60, 3.0, 2.0  # of the running statistics
STATE = ("running_mean", "running_var")


def normalized(
    given: Mapping[str, np.ndarray], side: Side, z: np.ndarray, training: bool
) -> np.ndarray:
    """out alone."""
    tensors = (z, *(given[n] for n in (*STATE, "weight", "bias")))
    if side == "manual":
        return manual.batch_norm(*tensors, training=training, eps=EPS)[0]
    row = OPERATIONS["batch_norm"].twin(training=training, momentum=MOMENTUM, eps=EPS)
    out: Tensor = row(*(to_torch(t) for t in tensors))[0]
    return out.numpy()


def evaluation(given: Mapping[str, np.ndarray], side: Side) -> dict[str, float]:
    """How far the first sample's output moves when the last sample changes."""
    z = manual.linear(given["x"], given["W"], given["b"])
    other = np.concatenate([z[:-1], z[-1:] + 5])
    moved = {}
    for mode, training in (("training", True), ("evaluation", False)):
        before, after = (normalized(given, side, batch, training)[0] for batch in (z, other))
        moved[f"{mode}/{side}"] = float(np.abs(after - before).max())
    return moved


def running(seed: int, side: Side) -> np.ndarray:
    """The running mean and variance after each batch, from 0 and 1   # -> [batches, 2, n]"""
    rng = np.random.default_rng([seed, 9])
    batches = rng.normal(MEAN, DEVIATION, (BATCHES, 32, N))
    module = nn.BatchNorm1d(N, momentum=MOMENTUM).double()
    mean, var = np.zeros(N), np.ones(N)
    states = []
    for z in batches:
        if side == "torch":
            module(to_torch(z))
            kept = module.state_dict()
            states.append([to_numpy(kept[name]).copy() for name in STATE])
        else:
            ones = (np.ones(N), np.zeros(N))
            _, mean, var = manual.batch_norm(z, mean, var, *ones, training=True, momentum=MOMENTUM)
            states.append([mean, var])
    return np.array(states)


def others_matter(n: Numbers) -> Claim:
    """Whether the output depends on the other samples, in training alone."""
    still, moved = worst(n, "evaluation"), min(n[f"training/{s}"] for s in SIDES)
    return claim(
        still == 0 < moved,
        "In training the output of a sample depends on the others: when another sample changes, "
        f"it moves by {moved:.2f}. In evaluation it moves by {still:g}.",
        f"It is NOT so that a sample's output depends on the others in training (by {moved:.2g}) "
        f"and not in evaluation (by {still:.2g}).",
        f"训练时，一个样本的输出取决于同批的其他样本：改动另一个样本，它变化 {moved:.2f}；"
        f"评估时变化 {still:g}。",
        f"训练时样本的输出应当取决于其他样本（变化 {moved:.2g}），评估时不应当"
        f"（变化 {still:.2g}），这里并非如此。",
    )


def averages_are_near(n: Numbers) -> Claim:
    """Whether the running statistics approach those of the data."""
    mean, var = worst(n, "running mean"), worst(n, "running var")
    return claim(
        mean < 0.5 * DEVIATION and var < DEVIATION**2,
        f"After {BATCHES} batches from N({MEAN:g}, {DEVIATION:g}^2) the running mean is at most "
        f"{mean:.2f} from {MEAN:g}, and the running variance at most {var:.2f} from "
        f"{DEVIATION**2:g}.",
        f"After {BATCHES} batches the running statistics are NOT near those of the data: off by "
        f"{mean:.2f} and {var:.2f}.",
        f"经过 {BATCHES} 个取自 N({MEAN:g}, {DEVIATION:g}^2) 的批量，滑动均值与 {MEAN:g} 最多相差 "
        f"{mean:.2f}，滑动方差与 {DEVIATION**2:g} 最多相差 {var:.2f}。",
        f"经过 {BATCHES} 个批量，滑动统计量并不接近数据的统计量：相差 {mean:.2f} 和 {var:.2f}。",
    )


def drawn(running: Mapping[Side, np.ndarray]) -> Figure:
    """The running mean and variance of the first unit, batch by batch."""
    figure, axes = panels(1, 2, width=4)
    for k, (ax, name, true) in enumerate(zip(axes, STATE, (MEAN, DEVIATION**2), strict=True)):
        for side, states in running.items():
            ax.plot(states[:, k, 0], label=side, **STYLE[side])
        ax.axhline(true, color="grey", lw=0.8, ls=":")
        ax.set(title=name, xlabel="batch")
    axes[0].legend(frameon=False)
    return figure
