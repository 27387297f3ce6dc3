"""Optimizers: what to do with a gradient, and with how many samples at a time.

  descent   W := W - lr dW
  momentum  v := mu v + dW             W := W - lr v
  Adam      v := b1 v + (1 - b1) dW    s := b2 s + (1 - b2) dW^2
            W := W - lr (v / (1 - b1^t)) / (sqrt(s / (1 - b2^t)) + eps)

W, dW, v, s have one shape. Descent zigzags in a valley that is steep in one
direction and flat in another. Momentum sums the gradients: steps along the
valley add up, steps across it cancel. Adam divides by the size of the gradient,
so that every weight takes steps of about lr. Both moments start at 0; the
division by 1 - b^t corrects that. The course averages, v := b v + (1 - b) dW:
the same path, with lr divided by 1 - b.

A mini-batch gives a noisy gradient for a small part of the work. For the same
number of passes over the data there are more steps.

Source: course 2 week 2, "mini-batch gradient descent", "gradient descent with
momentum", "Adam"; Kingma and Ba 2015.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import nn

from torch_parity.compare.case import Case
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.compare.register import OPTIMIZERS
from torch_parity.compare.show.curves import STYLE
from torch_parity.compare.tensors import to_numpy, to_torch
from torch_parity.lessons.experiment import Trained, train
from torch_parity.lessons.lesson import Claim, Lesson, Measured, Numbers, Table, claim, judged
from torch_parity.lessons.mistakes import all_named, plant_alone
from torch_parity.lessons.pictures import curves, panels
from torch_parity.torch_ref.trace import OPTIMIZERS as IN_TORCH

STEEP = np.array([1.0, 50.0])  # J = (w1^2 + 50 w2^2) / 2
START, STEPS = np.array([-9.0, 1.0]), 60
CHOICES: dict[str, dict[str, float]] = {
    "sgd": {"lr": 0.035},
    "momentum": {"lr": 0.015, "momentum": 0.8},
    "momentum_course": {"lr": 0.075, "beta": 0.8},
    "adam": {"lr": 0.5},
}
BATCHES, PASSES = (320, 64, 16), 4
SCALES = np.array([1e-3, 1.0, -1e3])
PLANTED = tuple(
    CATALOGUE[name]
    for name in (
        "momentum_convention",
        "adam_bias_correction_missing",
        "adam_betas_swapped",
    )
)


def path(side: Side, name: str, start: np.ndarray, slope: np.ndarray, steps: int) -> np.ndarray:
    """W after every step on J = sum of slope W^2 / 2, whose gradient is slope W

    # [n], [n] -> [1 + steps, n]
    """
    constants: Any = CHOICES[name]
    points = [start]
    if side == "manual":
        optimizer = OPTIMIZERS[name].by_hand(**constants)
        W, slots = start, optimizer.initial(start)
        for _ in range(steps):
            W, *slots = optimizer.update(W, slope * W, *slots)
            points.append(W)
        return np.array(points)
    parameter = nn.Parameter(to_torch(start).clone())
    in_torch = IN_TORCH[name][0]([{"params": [parameter]}], **constants)
    for _ in range(steps):
        parameter.grad = to_torch(slope) * parameter.detach()
        in_torch.step()
        points.append(to_numpy(parameter.detach()).copy())
    return np.array(points)


def measure(seed: int) -> Measured:
    """A valley, Adam's first step, trainings with batches of several sizes, and mistakes."""
    paths = {(n, s): path(s, n, START, STEEP, STEPS) for n in CHOICES for s in SIDES}
    runs = {f"batch {b}": train(_case(seed, b)) for b in BATCHES}
    numbers = judged(runs.values())
    for (name, side), points in paths.items():
        numbers[f"{name}/valley/{side}"] = float((STEEP * points[-1] ** 2).sum() / 2)
        numbers[f"{name}/turns/{side}"] = float(np.sum(np.diff(np.sign(points[:, 1])) != 0))
    for side in SIDES:
        course, plain = (paths[n, side] for n in ("momentum_course", "momentum"))
        first = path(side, "adam", SCALES, np.ones(3), 1)
        steps = (first[0] - first[1]) / np.sign(SCALES)
        numbers |= {
            f"course/{side}": float(np.abs(course - plain).max()),
            f"first step/{side}": float(np.abs(steps / CHOICES["adam"]["lr"] - 1).max()),
        }
        for label, trained in runs.items():
            numbers[f"{label}/loss/{side}"] = trained.last(side, "loss/train")
    gaps = [np.abs(paths[n, "manual"] - paths[n, "torch"]).max() for n in CHOICES]
    numbers["paths"] = float(max(gaps))
    planted, mistakes = plant_alone(PLANTED)
    tables = (_valley(numbers), _batches(numbers, runs), mistakes)
    figures = {"valley": _draw(paths), "loss": curves(runs, "loss/train")}
    return Measured(numbers | planted, tables, figures, runs)


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """The valley, the course's convention, Adam's first step, mini-batches, mistakes."""
    return _faster(n), _conventions(n), _first(n), _more_steps(n), all_named(n, PLANTED)


def _faster(n: Numbers) -> Claim:
    ends = {name: [n[f"{name}/valley/{s}"] for s in SIDES] for name in CHOICES}
    turns = [n[f"sgd/turns/{s}"] for s in SIDES]
    found = ", ".join(f"{ends[k][0]:.1e} with {k}" for k in ("sgd", "momentum", "adam"))
    found_zh = "，".join(f"{k} 是 {ends[k][0]:.1e}" for k in ("sgd", "momentum", "adam"))
    return claim(
        max(ends["momentum"]) < 0.1 * min(ends["sgd"])
        and min(turns) > STEPS / 2
        and n["paths"] < 1e-12,
        f"In the valley plain descent crosses the bottom {turns[0]:.0f} times in {STEPS} steps, "
        f"and momentum gets lower: J is {found}. (Both sides take the same path up to "
        f"{n['paths']:.1e}.)",
        "Momentum did NOT help in the valley, or the sides took different paths: plain descent "
        f"crosses the bottom {turns[0]:.0f} times in {STEPS} steps, and J is {found} (the sides "
        f"differ by {n['paths']:.1e}).",
        f"在峡谷里，普通梯度下降 {STEPS} 步中 {turns[0]:.0f} 次越过谷底，动量法降得更低：J 的值，"
        f"{found_zh}。（两边走的路径相同，相差不超过 {n['paths']:.1e}。）",
        f"在峡谷里动量法没有帮助，或者两边的路径不同：普通梯度下降 {STEPS} 步中 {turns[0]:.0f} 次"
        "越过谷底，J 的值，"
        f"{found_zh}（两边相差 {n['paths']:.1e}）。",
    )


def _conventions(n: Numbers) -> Claim:
    gap = max(n[f"course/{s}"] for s in SIDES)
    return claim(
        gap < 1e-12,
        "The course's momentum takes the same path as torch's if its lr is divided by 1 - beta: "
        f"they differ by {gap:.1e}.",
        f"The course's momentum does NOT take the same path as torch's: they differ by {gap:.1e}.",
        f"课程的动量法把学习率除以 1 - beta，就与 torch 的路径相同：相差 {gap:.1e}。",
        f"课程的动量法与 torch 的路径不同：相差 {gap:.1e}。",
    )


def _first(n: Numbers) -> Claim:
    gap = max(n[f"first step/{s}"] for s in SIDES)
    return claim(
        gap < 1e-4,
        f"Adam's first step is lr for every weight (up to {gap:.1e} of it, the effect of eps), "
        f"for gradients from {SCALES[0]:g} to {abs(SCALES[-1]):g}.",
        f"Adam's first step is NOT lr for every weight: it is off by {gap:.1e} of it, for "
        f"gradients from {SCALES[0]:g} to {abs(SCALES[-1]):g}.",
        f"Adam 的第一步对每个权重都是 lr（误差不超过它的 {gap:.1e}，来自 eps），不论梯度是 "
        f"{SCALES[0]:g} 还是 {abs(SCALES[-1]):g}。",
        f"Adam 的第一步并非对每个权重都是 lr：相差它的 {gap:.1e}，梯度从 {SCALES[0]:g} 到 "
        f"{abs(SCALES[-1]):g}。",
    )


def _more_steps(n: Numbers) -> Claim:
    loss = {b: [n[f"batch {b}/loss/{s}"] for s in SIDES] for b in BATCHES}
    found = ", ".join(f"{both[0]:.3f} with batches of {b}" for b, both in loss.items())
    found_zh = "，".join(f"批量为 {b} 时是 {both[0]:.3f}" for b, both in loss.items())
    falls = all(max(loss[b]) < min(loss[a]) for a, b in pairwise(BATCHES))
    return claim(
        falls,
        f"Smaller batches learn more from the same data: after {PASSES} passes the loss is "
        f"{found}.",
        f"Smaller batches did NOT learn more here: after {PASSES} passes the loss is {found}.",
        f"批量越小，同样的数据学到的越多：数据过了 {PASSES} 遍之后，损失在{found_zh}。",
        f"这里批量小并没有学到更多：数据过了 {PASSES} 遍之后，损失在{found_zh}。",
    )


def _case(seed: int, batch: int) -> Case:
    return Case.model_validate(
        {
            "data": "moons",
            "samples": 400,
            "hidden": (8,),
            "activation": "tanh",
            "initializer": "xavier_normal",
            "p": 0,
            "l2": 0,
            "optimizer": "sgd",
            "lr": 0.3,
            "steps": PASSES * 320 // batch,
            "batch": batch,
            "log_every": max(1, PASSES * 320 // batch // 4),
            "seed": seed,
        }
    )


def _valley(n: Numbers) -> Table:
    title = f"The valley J = (w1^2 + 50 w2^2) / 2, after {STEPS} steps"
    rows = tuple(
        (
            name,
            side,
            ", ".join(f"{k} = {v:g}" for k, v in CHOICES[name].items()),
            f"{n[f'{name}/valley/{side}']:.2e}",
            f"{n[f'{name}/turns/{side}']:.0f}",
        )
        for name in CHOICES
        for side in SIDES
    )
    zh = {
        title: f"峡谷 J = (w1^2 + 50 w2^2) / 2，{STEPS} 步之后",
        "optimizer": "优化器",
        "constants": "常数",
        "times across the bottom": "越过谷底的次数",
    }
    return Table(
        title, ("optimizer", "side", "constants", "J", "times across the bottom"), rows, zh
    )


def _batches(n: Numbers, runs: Mapping[str, Trained]) -> Table:
    title = f"Moons, {PASSES} passes over 320 samples, plain descent"
    rows = tuple(
        (str(t.case.batch), str(t.steps), *(f"{n[f'{label}/loss/{s}']:.4f}" for s in SIDES))
        for label, t in runs.items()
    )
    zh = {
        title: f"moons 数据，320 个样本过 {PASSES} 遍，普通梯度下降",
        "batch": "批量",
        "steps": "步数",
    }
    return Table(title, ("batch", "steps", "loss, manual", "torch"), rows, zh)


def _draw(paths: Mapping[tuple[str, Side], np.ndarray]) -> Figure:
    """The paths through the valley, over its lines of equal J."""
    figure, axes = panels(1, 3, width=3.2, alike=True)
    w1, w2 = np.meshgrid(np.linspace(-10, 4, 80), np.linspace(-1.6, 1.6, 80))
    levels = np.geomspace(0.1, 200, 9)
    for ax, name in zip(axes, ("sgd", "momentum", "adam"), strict=True):
        ax.contour(w1, w2, (w1**2 + 50 * w2**2) / 2, levels, colors="grey", linewidths=0.4)
        for side in SIDES:
            ax.plot(*paths[name, side].T, label=side, **STYLE[side])
        ax.set(title=name, xlabel="w1")
    axes[0].set(ylabel="w2")
    axes[0].legend(frameon=False, loc="lower right")
    return figure


ZH = "优化器：拿到梯度之后怎样更新，每次又用多少样本。"
LESSON = Lesson("optimizers", (), __doc__, measure, conclude, ZH)
