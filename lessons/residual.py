"""Residual networks: a shortcut around each block, so that depth does no harm.

  plain     h' = g(F(h))          dh = dsum J           J = dF/dh
  residual  h' = g(h + s F(h))    dh = dsum + s dsum J

h and h' are (m, n), dsum = dh' * g'(h + s F(h)). h is read twice, by the
shortcut and by the branch F, so its gradient is the sum of two shares.

In a plain network the gradient of the first layer is a product with one J for
each layer. With many factors that make it smaller it vanishes, and the first
layers do not learn. With shortcuts the product is of (1 + s J): multiplied out,
it contains a term without any J, the way through all shortcuts.

The lesson compares the gradient of the first layer in networks of more and more
blocks, and trains the deepest of both kinds.

Source: He et al. 2015, "Deep residual learning for image recognition"; course 4
week 2, "residual networks".
"""

import numpy as np
from matplotlib.figure import Figure

from torch_parity.compare import data
from torch_parity.compare.case import Case
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.compare.show.curves import STYLE
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.recorded import Recorded, record
from torch_parity.lessons.experiment import train
from torch_parity.lessons.lesson import (
    Claim,
    Lesson,
    Measured,
    Numbers,
    Table,
    claim,
    compared,
    judged,
)
from torch_parity.lessons.mistakes import all_named, plant_in
from torch_parity.lessons.pictures import curves, panels

BLOCKS = (1, 2, 4, 8)
KINDS = ("plain", "residual")
PLANTED = tuple(
    CATALOGUE[name]
    for name in (
        "shortcut_gradient_missing",
        "shortcut_gradient_twice",
        "shortcut_added_twice",
        "activation_before_the_sum",
        "shortcut_scaled",
    )
)
FIRST = {"plain": "dW1", "residual": "stem.weight.grad"}


def measure(seed: int) -> Measured:
    """The first step of networks of every depth, a training of the deepest, and mistakes."""
    steps = {(kind, n): _step(seed, kind, n) for kind in KINDS for n in BLOCKS}
    runs = {kind: train(_case(seed, kind, BLOCKS[-1])) for kind in KINDS}
    deepest = steps["residual", BLOCKS[-1]]
    numbers = judged(runs.values())
    numbers |= compared(deepest.manual, deepest.torch, deepest.start, deepest.nodes)
    for side in SIDES:
        for (kind, n), step in steps.items():
            gradient = np.linalg.norm(step.trace(side)[FIRST[kind]])
            numbers[f"{kind}/{n}/first/{side}"] = float(gradient)
        for kind, trained in runs.items():
            for curve in ("loss/train", "accuracy/dev"):
                numbers[f"{kind}/{curve}/{side}"] = trained.last(side, curve)
        shares = _shares(deepest, side)
        sums = [np.abs(whole - a - b).max() for whole, a, b in shares]
        numbers[f"shares/{side}"] = float(max(sums) / max(np.abs(w).max() for w, _, _ in shares))
    planted, mistakes = plant_in(steps["residual", 2], PLANTED)
    tables = (_first_layer(numbers), _by_block(deepest), _trained(numbers), mistakes)
    figures = {"first": _draw(numbers), "loss": curves(runs, "loss/train")}
    return Measured(numbers | planted, tables, figures, runs)


def _shares(step: Recorded, side: Side) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of each block, from the last: dh, and its shares through the shortcut and the branch."""
    t = step.trace(side)
    inner = len(step.pair.manual.net.sizes) - 3
    found = []
    for k in reversed(range(inner)):
        before = f"blocks.{k - 1}.grad" if k else "stem.grad"
        branch = t[f"blocks.{k}.fc1.grad"] @ step.start[f"blocks.{k}.fc1.weight"]
        found.append((t[before], t[f"blocks.{k}.sum.grad"], branch))
    return found


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """Vanishing, the shortcut, two shares, the training, mistakes."""
    return _vanishes(n), _stays(n), _adds(n), _learns(n), all_named(n, PLANTED)


def _first(n: Numbers, kind: str, blocks: int) -> list[float]:
    return [n[f"{kind}/{blocks}/first/{s}"] for s in SIDES]


def _vanishes(n: Numbers) -> Claim:
    shallow, deep = (_first(n, "plain", b) for b in (BLOCKS[0], BLOCKS[-1]))
    found = f"{shallow[0]:.1e} with {BLOCKS[0]} block, {deep[0]:.1e} with {BLOCKS[-1]}"
    found_zh = f"{BLOCKS[0]} 个块时是 {shallow[0]:.1e}，{BLOCKS[-1]} 个块时是 {deep[0]:.1e}"
    return claim(
        max(deep) < 0.01 * min(shallow),
        f"In the plain network the gradient of the first layer vanishes with depth: {found}.",
        f"In the plain network the gradient of the first layer does NOT vanish here: {found}.",
        f"普通网络越深，第一层的梯度越接近 0：{found_zh}。",
        f"这里普通网络第一层的梯度并没有消失：{found_zh}。",
    )


def _stays(n: Numbers) -> Claim:
    shallow, deep = (_first(n, "residual", b) for b in (BLOCKS[0], BLOCKS[-1]))
    found = f"{shallow[0]:.1e} with {BLOCKS[0]} block, {deep[0]:.1e} with {BLOCKS[-1]}"
    found_zh = f"{BLOCKS[0]} 个块时是 {shallow[0]:.1e}，{BLOCKS[-1]} 个块时是 {deep[0]:.1e}"
    return claim(
        min(deep) > 0.1 * max(shallow),
        f"With shortcuts it does not: {found}.",
        f"With shortcuts it vanishes, too: {found}, which is NOT what the theory says.",
        f"有捷径连接时不会：{found_zh}。",
        f"有捷径连接时也消失了：{found_zh}，与理论不符。",
    )


def _adds(n: Numbers) -> Claim:
    gap = max(n[f"shares/{s}"] for s in SIDES)
    return claim(
        gap < 1e-12,
        f"The gradient of h is the sum of the shares of shortcut and branch, in every block up to "
        f"{gap:.1e} of the largest entry.",
        f"The gradient of h is NOT the sum of two shares: it differs by {gap:.1e}.",
        f"h 的梯度等于捷径和支路两份梯度之和，每个块的误差都不超过最大元素的 {gap:.1e}。",
        f"h 的梯度不等于两份梯度之和：相差 {gap:.1e}。",
    )


def _learns(n: Numbers) -> Claim:
    loss = {kind: [n[f"{kind}/loss/train/{s}"] for s in SIDES] for kind in KINDS}
    steps = _case(0, "plain", 1).steps
    found = (
        f"after {steps} steps the loss of the network with {BLOCKS[-1]} blocks is "
        f"{loss['residual'][0]:.3f} with shortcuts and {loss['plain'][0]:.3f} without"
    )
    found_zh = (
        f"{BLOCKS[-1]} 个块的网络训练 {steps} 步后，有捷径连接时损失是 {loss['residual'][0]:.3f}，"
        f"没有时是 {loss['plain'][0]:.3f}"
    )
    return claim(
        max(loss["residual"]) < min(loss["plain"]) - 0.05,
        f"Only the network with shortcuts learns: {found} (guessing gives {np.log(2):.3f}).",
        f"Shortcuts did NOT help here: {found} (guessing gives {np.log(2):.3f}).",
        f"只有带捷径连接的网络在学习：{found_zh}（随机猜测是 {np.log(2):.3f}）。",
        f"这里捷径连接没有帮助：{found_zh}（随机猜测是 {np.log(2):.3f}）。",
    )


def _case(seed: int, kind: str, blocks: int) -> Case:
    """A plain network has as many layers as the residual one: two in each block, and the stem."""
    base: dict[str, object] = {
        "model": "residual" if kind == "residual" else "mlp",
        "hidden": (8,) * (blocks + 1 if kind == "residual" else 2 * blocks + 1),
        "branch_scale": 1 / blocks,
        "data": "circles",
        "samples": 200,
        "activation": "relu",
        "initializer": "xavier_normal",
        "bias_scale": 0.01,
        "p": 0,
        "l2": 0,
        "lr": 0.02,
        "steps": 40,
        "batch": 40,
        "log_every": 10,
        "seed": seed,
    }
    return Case.model_validate(base)


def _step(seed: int, kind: str, blocks: int) -> Recorded:
    """The first step of both sides."""
    case = _case(seed, kind, blocks)
    loaded = data.load(case)
    sides = pair.build(case, loaded)
    return record(sides, loaded.x_train[:40], sides.targets.y_train[:40], count=1)[0]


def _first_layer(n: Numbers) -> Table:
    title = "The gradient of the first layer's weights at the first step (norm)"
    rows = tuple(
        (str(b), *(f"{n[f'{kind}/{b}/first/{s}']:.2e}" for kind in KINDS for s in SIDES))
        for b in BLOCKS
    )
    zh = {
        title: "第一步时，第一层权重的梯度（范数）",
        "blocks": "块数",
        "plain": "普通网络",
        "residual": "残差网络",
    }
    return Table(title, ("blocks", "plain, manual", "torch", "residual, manual", "torch"), rows, zh)


def _by_block(step: Recorded) -> Table:
    title = f"The gradient of h in the residual network of {BLOCKS[-1]} blocks (norms, NumPy side)"
    rows = tuple(
        (f"blocks.{k}", *(f"{np.linalg.norm(part):.2e}" for part in parts))
        for k, parts in zip(reversed(range(BLOCKS[-1])), _shares(step, "manual"), strict=True)
    )
    zh = {
        title: f"{BLOCKS[-1]} 个块的残差网络中 h 的梯度（范数，手写一边）",
        "read by": "读取 h 的块",
        "through the shortcut": "经过捷径",
        "through the branch": "经过支路",
    }
    return Table(title, ("read by", "dh", "through the shortcut", "through the branch"), rows, zh)


def _trained(n: Numbers) -> Table:
    title = f"{BLOCKS[-1]} blocks on circles, 40 steps"
    rows = tuple(
        (
            kind,
            side,
            f"{n[f'{kind}/loss/train/{side}']:.4f}",
            f"{n[f'{kind}/accuracy/dev/{side}']:.1%}",
        )
        for kind in KINDS
        for side in SIDES
    )
    zh = {
        title: f"{BLOCKS[-1]} 个块，圆环数据，训练 40 步",
        "network": "网络",
        "accuracy on dev": "开发集准确率",
        "plain": "普通网络",
        "residual": "残差网络",
    }
    return Table(title, ("network", "side", "loss", "accuracy on dev"), rows, zh)


def _draw(n: Numbers) -> Figure:
    """The gradient of the first layer, by the number of blocks."""
    figure, axes = panels(1, 2, width=3.5, alike=True)
    for ax, kind in zip(axes, KINDS, strict=True):
        for i, side in enumerate(SIDES):
            values = [_first(n, kind, b)[i] for b in BLOCKS]
            ax.semilogy(BLOCKS, values, label=side, **STYLE[side])
        ax.set(title=kind, xlabel="blocks")
    axes[0].set(ylabel="|gradient of the first layer|")
    axes[0].legend(frameon=False)
    return figure


ZH = "残差网络：每个块旁边加一条捷径，网络再深也不怕。"
LESSON = Lesson("residual", (), __doc__, measure, conclude, ZH)
