"""L1 and L2: the weights become smaller, and the output changes more slowly.

  L2  J = loss + lambda/(2m) sum of W^2    dW = dW_loss + lambda/m W
  L1  J = loss + lambda/(2m) sum of |W|    dW = dW_loss + lambda/(2m) sign W

W and dW have the shape (n_out, n_in); biases are never penalised. Descent with
L2 is W := (1 - lr lambda/m) W - lr dW_loss, hence "weight decay". In torch L2
is either the option weight_decay = lambda/m of the optimizer, or a term of the
loss that autograd differentiates. For L1 there is only the second way. L1 makes
many weights exactly or nearly 0; L2 makes all of them smaller.

A model with small weights is smoother. The slope |da/dx| says how fast its
output changes with its input. It is computed exactly: in NumPy by a complex
step through the forward pass, in torch by autograd.

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
    """Train the same large network with each penalty on a few noisy samples."""
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
    zh = {
        "Moons, 60 samples": "moons 数据，60 个样本",
        "penalty": "惩罚",
        "rms of W": "W 的均方根",
        "max |da/dx|": "|da/dx| 的最大值",
        "none": "无",
        "L2 1 in loss": "L2 1（加在损失里）",
    }
    figures = {"boundaries": boundaries(runs, 4), "weights": _histograms(runs)}
    return Measured(numbers, (Table("Moons, 60 samples", columns, rows, zh),), figures, runs)


def weights(trained: Trained, side: Side) -> np.ndarray:
    """All weights as one row, without the biases."""
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
    """Smaller weights, a smoother output, zeros with L1, and L2 in two ways."""
    size, slope = (_by_lambda(n, what) for what in ("size", "slope"))
    size_zh, slope_zh = (_by_lambda_zh(n, what) for what in ("size", "slope"))
    return (
        claim(
            _falls(n, "size"),
            f"The larger lambda is, the smaller are the weights: rms {size}.",
            f"The weights do NOT become steadily smaller with lambda: rms {size}.",
            f"lambda 越大，权重越小：均方根为 {size_zh}。",
            f"权重没有随 lambda 一直变小：均方根为 {size_zh}。",
        ),
        claim(
            _falls(n, "slope"),
            f"The larger lambda is, the more slowly the output changes: greatest slope {slope}.",
            f"The output does NOT become steadily smoother with lambda: greatest slope {slope}.",
            f"lambda 越大，输出变化越慢：最大斜率为 {slope_zh}。",
            f"输出没有随 lambda 一直变平滑：最大斜率为 {slope_zh}。",
        ),
        _l1(n),
        _routes(n),
    )


def _by_lambda(n: Numbers, what: str) -> str:
    return ", ".join(f"{n[f'{label}/{what}/manual']:.3g} ({label})" for label in BY_LAMBDA)


def _by_lambda_zh(n: Numbers, what: str) -> str:
    named = {label: "无惩罚" if label == "none" else label for label in BY_LAMBDA}
    return "，".join(f"{n[f'{label}/{what}/manual']:.3g}（{zh}）" for label, zh in named.items())


def _falls(n: Numbers, what: str) -> bool:
    """Whether it decreases with every increase of lambda, on both sides."""
    values = [[n[f"{label}/{what}/{s}"] for label in BY_LAMBDA] for s in SIDES]
    return all(less > more for side in values for less, more in pairwise(side))


def _l1(n: Numbers) -> Claim:
    zeros = {k: [n[f"{k}/small/{s}"] for s in SIDES] for k in ("none", "L2 1", "L1 0.3")}
    names = {"none": "no penalty"}
    found = ", ".join(f"{v[0]:.0%} with {names.get(k, k)}" for k, v in zeros.items())
    names = {"none": "无惩罚"}
    found_zh = "，".join(f"{v[0]:.0%}（{names.get(k, k)}）" for k, v in zeros.items())
    return claim(
        min(zeros["L1 0.3"]) > max(*zeros["L2 1"], *zeros["none"]) + 0.2,
        f"L1 makes many weights 0 or nearly 0, L2 does not: |W| < {SMALL} for {found}.",
        f"L1 does NOT make many more weights nearly 0 than L2: |W| < {SMALL} for {found}.",
        f"L1 使许多权重变成 0 或接近 0，L2 不会：|W| < {SMALL} 的比例为 {found_zh}。",
        f"L1 并没有比 L2 使更多的权重接近 0：|W| < {SMALL} 的比例为 {found_zh}。",
    )


def _routes(n: Numbers) -> Claim:
    return claim(
        n["routes"] <= 1e-6,
        "weight_decay and a term of the loss give the same result: torch's weights differ by "
        f"{n['routes']:.1e} of the largest weight.",
        "weight_decay and a term of the loss do NOT give the same result: torch's weights differ "
        f"by {n['routes']:.1e} of the largest weight.",
        f"weight_decay 与加在损失里的一项效果相同：torch 的权重只相差最大权重的 "
        f"{n['routes']:.1e}。",
        f"weight_decay 与加在损失里的一项效果不同：torch 的权重相差最大权重的 {n['routes']:.1e}。",
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
    "L1 与 L2：权重变小，输出变化变慢。",
)
