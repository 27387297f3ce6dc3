"""Without an activation, any number of layers is one linear map.

With g(z) = z, two layers are a = W2 (W1 x + b1) + b2 = W' x + b', where

  W' = W2 W1        (n_2, n_1) (n_1, n_in) -> (n_2, n_in)
  b' = W2 b1 + b2   (n_2,)

The same holds for every further layer: however deep the network is, a single
layer can compute the same. A nonlinear activation between the layers changes
this. No straight line separates two circles, so on this data set the linear
network can only guess, and the network with tanh solves the task.

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
    """Train a linear network, a single layer, and the same network with tanh on circles."""
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
    columns = (
        *("network", "sizes", "difference, manual", "torch"),
        *("train, manual", "torch", "dev, manual", "torch"),
    )
    zh = {
        "Difference from the single layer W', b', and accuracy": "与单层 W'、b' 的差距，以及准确率",
        "network": "网络",
        "sizes": "各层大小",
        "difference": "差距",
        "identity": "恒等",
        "one layer": "单层",
    }
    table = Table(next(iter(zh)), columns, rows, zh)
    return Measured(
        numbers,
        (table,),
        {"boundaries": boundaries(runs, 3), "loss": curves(runs, "loss/train")},
        runs,
    )


def collapse_gap(trained: Trained, side: Side) -> float:
    """The greatest difference of the last z from x @ W'.T + b', over its largest entry."""
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
    """The linear network equals one layer, tanh does not, and only tanh solves circles."""
    gap = max(n[f"identity/gap/{s}"] for s in SIDES)
    bent = min(n[f"tanh/gap/{s}"] for s in SIDES)
    best = {k: max(n[f"{k}/train/{s}"] for s in SIDES) for k in ("identity", "one layer")}
    solved = min(n[f"tanh/train/{s}"] for s in SIDES)
    scores = (
        f"on train, {len(HIDDEN)} hidden layers without activation reach {best['identity']:.1%}, "
        f"a single layer {best['one layer']:.1%}, the same network with tanh {solved:.1%}"
    )
    scores_zh = (
        f"训练集上，没有激活函数的 {len(HIDDEN)} 个隐藏层达到 {best['identity']:.1%}，"
        f"单层达到 {best['one layer']:.1%}，换成 tanh 的同一网络达到 {solved:.1%}"
    )
    return (
        claim(
            gap <= 1e-12,
            "The linear network equals a single layer W', b': its z differs by "
            f"{gap:.1e} of the largest entry, which is rounding.",
            "This network does NOT equal a single layer W', b': its z differs by "
            f"{gap:.1e} of the largest entry.",
            f"线性网络等于单层 W'、b'：z 的差距是最大元素的 {gap:.1e}，这是舍入误差。",
            f"这个网络不等于单层 W'、b'：z 的差距达到最大元素的 {gap:.1e}。",
        ),
        claim(
            bent > 1e-2,
            "With tanh, the product of the weights does not give the output of the network: its z "
            f"differs by {bent:.0%} of the largest entry.",
            "Even with tanh, the product of the weights gives the output of the network: its z "
            f"differs by only {bent:.1e} of the largest entry.",
            f"用 tanh 时，权重的乘积给不出网络的输出：z 的差距达到最大元素的 {bent:.0%}。",
            f"用 tanh 时，权重的乘积同样给出网络的输出：z 的差距只有最大元素的 {bent:.1e}。",
        ),
        claim(
            best["identity"] <= best["one layer"] + 0.1 and solved > best["identity"] + 0.2,
            f"On circles depth alone does not help, an activation does: {scores}.",
            f"On these circles the activation did NOT make the difference: {scores}.",
            f"对圆环数据，只加深没有用，有激活函数才行：{scores_zh}。",
            f"对这组圆环数据，起作用的不是激活函数：{scores_zh}。",
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


ZH = "没有激活函数，多少层都只是一个线性映射。"
LESSON = Lesson(
    "why-nonlinear", ("激活函数 5. 为什么需要激活函数",), __doc__, measure, conclude, ZH
)
