"""Optimizers: what to do with a gradient.

  descent   W := W - lr dW
  momentum  v := mu v + dW             W := W - lr v
  Nesterov  v := mu v + dW             W := W - lr (dW + mu v)
  RMSprop   s := a s + (1 - a) dW^2    W := W - lr dW / (sqrt(s) + eps)
  Adam      v := b1 v + (1 - b1) dW    s := b2 s + (1 - b2) dW^2
            W := W - lr (v / (1 - b1^t)) / (sqrt(s / (1 - b2^t)) + eps)

W, dW, v, s have one shape. Descent zigzags in a valley that is steep in one
direction and flat in another. Momentum sums the gradients: steps along the
valley add up, steps across it cancel. Nesterov looks one step ahead along v,
and so brakes earlier. RMSprop divides by the size of the gradient, so that
every weight takes steps of about lr. Adam does both. Its moments start at 0;
the division by 1 - b^t corrects that. The course averages, v := b v + (1 - b)
dW: the same path, with lr divided by 1 - b.

Source: course 2 week 2, "gradient descent with momentum", "RMSprop", "Adam";
Nesterov 1983; Sutskever et al. 2013; Tieleman and Hinton 2012; Kingma and Ba
2015.
"""

from collections.abc import Mapping
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
from torch_parity.lessons.experiment import train
from torch_parity.lessons.lesson import Claim, Lesson, Measured, Numbers, Table, claim, judged
from torch_parity.lessons.mistakes import all_named, plant_alone
from torch_parity.lessons.pictures import curves, panels
from torch_parity.torch_ref.trace import OPTIMIZERS as IN_TORCH

STEEP = np.array([1.0, 50.0])  # J = (w1^2 + 50 w2^2) / 2
START, STEPS = np.array([-9.0, 1.0]), 60
CHOICES: dict[str, dict[str, float]] = {
    "sgd": {"lr": 0.035},
    "momentum": {"lr": 0.015, "momentum": 0.8},
    "nesterov": {"lr": 0.015, "momentum": 0.8},
    "momentum_course": {"lr": 0.075, "beta": 0.8},
    "rmsprop": {"lr": 0.2, "alpha": 0.9},
    "adam": {"lr": 0.5},
}
DRAWN = ("sgd", "momentum", "nesterov", "rmsprop", "adam")
RATES = {"sgd": 0.5, "momentum": 0.1, "nesterov": 0.1, "rmsprop": 0.02, "adam": 0.05}
TRAINED = 20  # steps
SCALES = np.array([1e-3, 1.0, -1e3])
FIRST = {"adam": 1.0, "rmsprop": (1 - CHOICES["rmsprop"]["alpha"]) ** -0.5}  # first step over lr
PLANTED = tuple(
    CATALOGUE[name]
    for name in (
        "momentum_convention",
        "nesterov_missing",
        "rmsprop_root_missing",
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
    """A valley, first steps, a training with each optimizer, and mistakes."""
    paths = {(n, s): path(s, n, START, STEEP, STEPS) for n in CHOICES for s in SIDES}
    runs = {name: train(_case(seed, name)) for name in DRAWN}
    numbers = judged(runs.values())
    for (name, side), points in paths.items():
        numbers[f"{name}/valley/{side}"] = float((STEEP * points[-1] ** 2).sum() / 2)
        numbers[f"{name}/turns/{side}"] = float(np.sum(np.diff(np.sign(points[:, 1])) != 0))
    for side in SIDES:
        course, plain = (paths[n, side] for n in ("momentum_course", "momentum"))
        numbers[f"course/{side}"] = float(np.abs(course - plain).max())
        for name, size in FIRST.items():
            start, after = path(side, name, SCALES, np.ones(3), 1)
            steps = (start - after) / np.sign(SCALES) / CHOICES[name]["lr"]
            numbers[f"first step/{name}/{side}"] = float(np.abs(steps / size - 1).max())
        for label, trained in runs.items():
            numbers[f"{label}/loss/{side}"] = trained.last(side, "loss/train")
    gaps = [np.abs(paths[n, "manual"] - paths[n, "torch"]).max() for n in CHOICES]
    numbers["paths"] = float(max(gaps))
    planted, mistakes = plant_alone(PLANTED)
    tables = (_valley(numbers), _trained(numbers), mistakes)
    figures = {"valley": _draw(paths), "loss": curves(runs, "loss/train")}
    return Measured(numbers | planted, tables, figures, runs)


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """The valley, looking ahead, the course's convention, first steps, mistakes."""
    return _faster(n), _ahead(n), _conventions(n), _first(n), all_named(n, PLANTED)


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


def _ahead(n: Numbers) -> Claim:
    plain, ahead = ([n[f"{k}/valley/{s}"] for s in SIDES] for k in ("momentum", "nesterov"))
    found = f"{ahead[0]:.1e} after {STEPS} steps, against {plain[0]:.1e}"
    found_zh = f"{STEPS} 步之后 J 是 {ahead[0]:.1e}，普通动量法是 {plain[0]:.1e}"
    return claim(
        max(ahead) < min(plain),
        f"Nesterov's look-ahead brakes: with the same constants as momentum it reaches a J of "
        f"{found}.",
        f"Nesterov's look-ahead did NOT help here: J is {found}.",
        f"Nesterov 的前瞻起到刹车的作用：常数与动量法相同，{found_zh}。",
        f"这里 Nesterov 的前瞻没有帮助：{found_zh}。",
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
    off = max(n[f"first step/{name}/{s}"] for name in FIRST for s in SIDES)
    share = FIRST["rmsprop"]
    return claim(
        off < 1e-4,
        f"For gradients from {SCALES[0]:g} to {abs(SCALES[-1]):g}, the first step of every weight "
        f"is lr with Adam and {share:.2f} lr with RMSprop, whose s is not corrected (up to "
        f"{off:.1e} of it, the effect of eps).",
        f"The first steps are NOT lr with Adam and {share:.2f} lr with RMSprop for gradients from "
        f"{SCALES[0]:g} to {abs(SCALES[-1]):g}: they are off by {off:.1e} of it.",
        f"不论梯度是 {SCALES[0]:g} 还是 {abs(SCALES[-1]):g}，每个权重的第一步在 Adam 里都是 lr，"
        f"在 RMSprop 里都是 {share:.2f} lr，因为它的 s 没有修正（误差不超过它的 {off:.1e}，"
        "来自 eps）。",
        f"梯度从 {SCALES[0]:g} 到 {abs(SCALES[-1]):g} 时，第一步在 Adam 里并非 lr，或者在 RMSprop "
        f"里并非 {share:.2f} lr：相差它的 {off:.1e}。",
    )


def _case(seed: int, optimizer: str) -> Case:
    return Case.model_validate(
        {
            "data": "moons",
            "samples": 100,
            "hidden": (8,),
            "activation": "tanh",
            "initializer": "xavier_normal",
            "p": 0,
            "l2": 0,
            "optimizer": optimizer,
            "lr": RATES[optimizer],
            "steps": TRAINED,
            "batch": 80,
            "log_every": 5,
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


def _trained(n: Numbers) -> Table:
    title = f"Moons, {TRAINED} steps with all 80 samples"
    rows = tuple(
        (name, f"{RATES[name]:g}", *(f"{n[f'{name}/loss/{s}']:.4f}" for s in SIDES))
        for name in DRAWN
    )
    zh = {
        title: f"moons 数据，每步都用全部 80 个样本，训练 {TRAINED} 步",
        "optimizer": "优化器",
        "lr": "学习率",
    }
    return Table(title, ("optimizer", "lr", "loss, manual", "torch"), rows, zh)


def _draw(paths: Mapping[tuple[str, Side], np.ndarray]) -> Figure:
    """The paths through the valley, over its lines of equal J."""
    figure, axes = panels(1, len(DRAWN), width=2.4, alike=True)
    w1, w2 = np.meshgrid(np.linspace(-10, 4, 80), np.linspace(-1.6, 1.6, 80))
    levels = np.geomspace(0.1, 200, 9)
    for ax, name in zip(axes, DRAWN, strict=True):
        ax.contour(w1, w2, (w1**2 + 50 * w2**2) / 2, levels, colors="grey", linewidths=0.4)
        for side in SIDES:
            ax.plot(*paths[name, side].T, label=side, **STYLE[side])
        ax.set(title=name, xlabel="w1")
    axes[0].set(ylabel="w2")
    axes[0].legend(frameon=False, loc="lower right")
    return figure


ZH = "优化器：拿到梯度之后怎样更新权重。"
LESSON = Lesson("optimizers", (), __doc__, measure, conclude, ZH)
