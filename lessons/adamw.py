"""AdamW: weights that shrink on their own, not through the gradient.

  L2 in Adam  dW := dW + wd W          then v, s and Adam's step
  AdamW       W := W (1 - lr wd)       then Adam's step, with dW as it is

L2 makes weights smaller by adding wd W to the gradient. In plain descent that
is the same as shrinking: W - lr (dW + wd W) = W (1 - lr wd) - lr dW. In Adam it
is not. Adam divides its step by the size of the gradient, and so the penalty
too: a weight with large gradients hardly shrinks, one with small gradients
shrinks quickly. AdamW takes the decay out of the gradient, so that every weight
shrinks by the same share of itself in each step.

Biases and norms do not decay. Nothing is gained by smaller ones: a bias only
moves an output, and what a norm multiplies has a fixed size already.

Source: Loshchilov and Hutter 2019, "Decoupled weight decay regularization";
course 2 week 1, "regularization" (weight decay).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from torch_parity import manual
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.compare.register import OPTIMIZERS
from torch_parity.compare.show.curves import STYLE
from torch_parity.compare.tensors import to_numpy, to_torch
from torch_parity.lessons.experiment import noisy_moons, train
from torch_parity.lessons.lesson import (
    Claim,
    Lesson,
    Measured,
    Numbers,
    Table,
    claim,
    judged,
    worst,
)
from torch_parity.lessons.mistakes import all_named, plant_alone
from torch_parity.lessons.pictures import panels
from torch_parity.manual.models.step import weights_of
from torch_parity.torch_ref.losses.regularization import parameter_groups
from torch_parity.torch_ref.models.gpt import GPT
from torch_parity.torch_ref.trace import OPTIMIZERS as IN_TORCH

LR, DECAY, STEPS, COPIES = 0.01, 0.1, 300, 200
SIZES = (0.01, 1.0, 100.0)  # of the gradients
KINDS = ("adam", "adamw")
GPT_SIZES = (8, 16, 2, 2, 13)
PLANTED = tuple(
    CATALOGUE[name]
    for name in (
        "decoupled_weight_decay",
        "adamw_decay_in_the_gradient",
        "adamw_decay_without_lr",
        "adamw_biases_decayed",
    )
)


def shrunk(side: Side, kind: str, gradients: np.ndarray) -> np.ndarray:
    """The mean weight after every step, from 1, with these gradients of the loss and weight decay

    # [steps, copies] -> [1 + steps]
    """
    W = np.ones(gradients.shape[1])
    means = [1.0]
    if side == "manual":
        options: Any = {"weight_decay": DECAY} if kind == "adamw" else {}
        optimizer = OPTIMIZERS[kind].by_hand(lr=LR, **options)
        slots = optimizer.initial(W)
        for g in gradients:
            penalty = DECAY * W if kind == "adam" else 0.0
            W, *slots = optimizer.update(W, g + penalty, *slots)
            means.append(float(W.mean()))
        return np.array(means)
    parameter = nn.Parameter(to_torch(W))
    in_torch = IN_TORCH[kind][0]([{"params": [parameter], "weight_decay": DECAY}], lr=LR)
    for g in gradients:
        parameter.grad = to_torch(g)
        in_torch.step()
        means.append(float(parameter.detach().mean()))
    return np.array(means)


def measure(seed: int) -> Measured:
    """Decay by the size of the gradient, plain descent, what decays in a GPT, and mistakes."""
    noise = np.random.default_rng([seed, 19]).standard_normal((STEPS, COPIES))
    means = {
        (kind, size, side): shrunk(side, kind, size * noise)
        for kind in KINDS
        for size in SIZES
        for side in SIDES
    }
    runs = {k: train(noisy_moons(seed, optimizer=k, lr=0.02, l2=6, steps=40)) for k in KINDS}
    numbers = judged(runs.values()) | _spared()
    for (kind, size, side), found in means.items():
        numbers[f"{kind}/{size:g}/{side}"] = float(found[-1])
    for side in SIDES:
        numbers[f"sgd/{side}"] = _descent(seed, side)
        for kind, trained in runs.items():
            numbers[f"{kind}/loss/{side}"] = trained.last(side, "loss/train")
            numbers[f"{kind}/size/{side}"] = float(
                np.mean([np.abs(trained.params_of(side)[f"W{k}"]).mean() for k in (1, 2, 3)])
            )
    planted, mistakes = plant_alone(PLANTED)
    tables = (_by_size(numbers), _trained(numbers), mistakes)
    return Measured(numbers | planted, tables, {"decay": _draw(means)}, runs)


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """Adam's penalty, AdamW's decay, plain descent, what is spared, mistakes."""
    return _uneven(n), _even(n), _same_in_descent(n), _spares(n), all_named(n, PLANTED)


def _uneven(n: Numbers) -> Claim:
    small, large = ([n[f"adam/{size:g}/{s}"] for s in SIDES] for size in (SIZES[0], SIZES[-1]))
    found = (
        f"{large[0]:.3f} where the gradients are large, and at {small[0]:.3f} where they are small"
    )
    found_zh = f"梯度大的权重还剩 {large[0]:.3f}，梯度小的只剩 {small[0]:.3f}"
    return claim(
        max(small) < 0.1 and min(large) > 0.9,
        f"In Adam the L2 penalty depends on the size of the gradients: a weight that begins at 1 "
        f"ends at {found}.",
        f"In Adam the L2 penalty does NOT depend on the size of the gradients: a weight that "
        f"begins at 1 ends at {found}.",
        f"在 Adam 里，L2 惩罚的作用取决于梯度的大小：从 1 开始，{found_zh}。",
        f"在 Adam 里，L2 惩罚的作用与梯度的大小无关：从 1 开始，{found_zh}。",
    )


def _even(n: Numbers) -> Claim:
    ends = [n[f"adamw/{size:g}/{s}"] for size in SIZES for s in SIDES]
    expected, spread = (1 - LR * DECAY) ** STEPS, max(ends) - min(ends)
    return claim(
        max(abs(w - expected) for w in ends) < 0.05 and spread < 1e-3,
        f"In AdamW the decay does not: the weights end at {ends[0]:.3f} for every size (up to "
        f"{spread:.1e}). (1 - lr wd)^{STEPS} is {expected:.3f}; the rest is chance.",
        f"In AdamW the weights do NOT end at (1 - lr wd)^{STEPS} = {expected:.3f} for every size: "
        f"one ends at {ends[0]:.3f}, and others up to {spread:.1e} from it.",
        f"在 AdamW 里则无关：不论梯度大小，最后都是 {ends[0]:.3f}（相差不超过 {spread:.1e}）。"
        f"(1 - lr wd)^{STEPS} 等于 {expected:.3f}，其余的差别是偶然。",
        f"在 AdamW 里，权重最后并不都是 (1 - lr wd)^{STEPS} = {expected:.3f}：一种是 "
        f"{ends[0]:.3f}，其余与它最多相差 {spread:.1e}。",
    )


def _same_in_descent(n: Numbers) -> Claim:
    gap = worst(n, "sgd")
    return claim(
        gap < 1e-14,
        f"In plain descent the two are the same: the weights differ by at most {gap:.1e}.",
        f"In plain descent the two are NOT the same: the weights differ by {gap:.1e}.",
        f"在普通梯度下降里，两种写法相同：权重相差不超过 {gap:.1e}。",
        f"在普通梯度下降里，两种写法并不相同：权重相差 {gap:.1e}。",
    )


def _spares(n: Numbers) -> Claim:
    decay, all_of_them = f"{n['decay']:.0f}", f"{n['parameters']:.0f}"
    return claim(
        n["decay"] == n["same names"] and n["spared"] == n["parameters"] - n["decay"] > 0,
        f"Of the {all_of_them} parameters of a GPT, {decay} decay: those with two dimensions, the "
        "same on both sides. Every bias and every norm is spared.",
        f"Of the {all_of_them} parameters of a GPT, {decay} decay, but they are NOT the same on "
        "both sides, or a bias or a norm is among them.",
        f"GPT 的 {all_of_them} 个参数中有 {decay} 个衰减，就是两维的那些，两边相同。"
        "偏置和归一化的参数一个也不衰减。",
        f"GPT 的 {all_of_them} 个参数中有 {decay} 个衰减，但两边不相同，或者其中有偏置、归一化的"
        "参数。",
    )


def _descent(seed: int, side: Side) -> float:
    """How far one step with wd W in the gradient is from one with a decay of its own."""
    W, g = np.random.default_rng([seed, 20]).standard_normal((2, COPIES))
    if side == "manual":
        coupled = manual.sgd(W, g + DECAY * W, LR)
        return float(np.abs(coupled - manual.sgd(W * (1 - LR * DECAY), g, LR)).max())
    ends = []
    for start, decay in ((W, DECAY), (W * (1 - LR * DECAY), 0.0)):
        parameter = nn.Parameter(to_torch(start))
        parameter.grad = to_torch(g)
        torch.optim.SGD([parameter], lr=LR, weight_decay=decay).step()
        ends.append(to_numpy(parameter.detach()))
    return float(np.abs(ends[0] - ends[1]).max())


def _spared() -> dict[str, float]:
    """What decays in a GPT, by hand and in torch's parameter groups."""
    module = GPT(GPT_SIZES)
    of = {id(p): name for name, p in module.named_parameters()}
    decays, spared = ([of[id(p)] for p in g["params"]] for g in parameter_groups(module, DECAY))
    by_hand = weights_of(manual.GPT(GPT_SIZES))
    vectors = [n for n in spared if n.endswith("bias") or ".ln_" in f".{n}"]
    return {
        "parameters": len(of),
        "decay": len(by_hand),
        "same names": len(set(by_hand) & set(decays)),
        "spared": len(vectors),
    }


def _by_size(n: Numbers) -> Table:
    title = f"The mean of {COPIES} weights after {STEPS} steps, from 1; gradients are noise"
    rows = tuple(
        (kind, side, *(f"{n[f'{kind}/{size:g}/{side}']:.3f}" for size in SIZES))
        for kind in KINDS
        for side in SIDES
    )
    zh = {
        title: f"{COPIES} 个权重从 1 开始，{STEPS} 步之后的平均值；梯度是噪声",
        "optimizer": "优化器",
        "gradients of 0.01": "梯度 0.01",
        "of 1": "梯度 1",
        "of 100": "梯度 100",
    }
    columns = ("optimizer", "side", f"gradients of {SIZES[0]:g}", *(f"of {s:g}" for s in SIZES[1:]))
    return Table(title, columns, rows, zh)


def _trained(n: Numbers) -> Table:
    title = "Noisy moons, with the same lambda"
    rows = tuple(
        (kind, side, f"{n[f'{kind}/loss/{side}']:.4f}", f"{n[f'{kind}/size/{side}']:.4f}")
        for kind in KINDS
        for side in SIDES
    )
    zh = {
        title: "带噪声的 moons 数据，lambda 相同",
        "optimizer": "优化器",
        "mean size of a weight": "权重的平均大小",
    }
    return Table(title, ("optimizer", "side", "loss", "mean size of a weight"), rows, zh)


def _draw(means: Mapping[tuple[str, float, Side], np.ndarray]) -> Figure:
    """The mean weight, step by step, for each size of the gradients."""
    figure, axes = panels(1, len(KINDS), width=4, alike=True)
    for (kind, size, side), found in means.items():
        ax = axes[KINDS.index(kind)]
        ax.plot(found, **STYLE[side])
        if side == "torch" and (kind == "adam" or size == SIZES[0]):
            label = f"gradients of {size:g}" if kind == "adam" else "all three sizes"
            ax.annotate(label, (STEPS, found[-1]), ha="right", va="bottom")
    for ax, kind in zip(axes, KINDS, strict=True):
        ax.set(title=f"{kind}, weight decay {DECAY:g}", xlabel="step")
    axes[0].set(ylabel="mean weight")
    return figure


ZH = "AdamW：权重按比例自行缩小，不经过梯度。"
LESSON = Lesson("adamw", (), __doc__, measure, conclude, ZH)
