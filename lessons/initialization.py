"""First weights: equal ones stay equal, and large ones saturate the units.

  zeros   W = 0                       all units of a layer compute the same and
                                      get the same gradient at every step
  normal  W ~ N(0, 0.01^2)            |z| is small, so g'(z) is large
  large   W ~ N(0, 3^2)               |z| is large, g'(z) tiny: slow descent
  Xavier  W ~ N(0, 2/(n_in + n_out))  keeps the size of z from layer to layer
  He      W ~ N(0, 2/n_in)            the same for relu, which sets half of its
                                      inputs to 0

W is (n_out, n_in), b = 0. The course's 0.01 is enough for one hidden layer. In
a deeper network the signal shrinks with every layer; use Xavier or He there.

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
    "normal 3": {"initializer": "normal", "scale": 3.0},
    "Xavier": {"initializer": "xavier_normal"},
    "He": {"initializer": "kaiming_normal"},
}
SYMMETRIC = ("zeros", "zeros, sigmoid")


def measure(seed: int) -> Measured:
    """Train the same network from each start on circles, and measure its units."""
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
    zh = {
        "Circles, 2 hidden layers, 120 steps": "圆环数据，两个隐藏层，120 步",
        "start": "起点",
        "units differ by": "单元间差距",
        "slope at start": "起点斜率",
    }
    return Measured(
        numbers,
        (Table(next(iter(zh)), columns, rows, zh),),
        {"loss": curves(runs, "loss/train"), "accuracy": curves(runs, "accuracy/dev")},
        runs,
    )


def spread(trained: Trained, side: Side) -> float:
    """The greatest difference between two units of the first layer, which are rows of W1, after
    training."""
    W = trained.params_of(side)["W1"]
    return float((W.max(axis=0) - W.min(axis=0)).max())


def first_slope(trained: Trained, side: Side) -> float:
    """The mean of g'(z1) over units and samples, before the first step."""
    z1 = trained.before().trace(side, trained.data.x_train)["z1"]
    return float(np.mean(slope(side, trained.case.activation, z1)))


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """Equal units stay equal, large weights saturate, small ones are slow, Xavier and He work."""
    return _symmetry(n), _large(n), _small(n)


def _symmetry(n: Numbers) -> Claim:
    apart = max(n[f"{label}/spread/{s}"] for label in SYMMETRIC for s in SIDES)
    drawn = min(n[f"normal 0.01/spread/{s}"] for s in SIDES)
    right = max(n[f"{label}/dev/{s}"] for label in SYMMETRIC for s in SIDES)
    return claim(
        apart < 1e-9 < drawn and right <= 0.6,
        "From zeros the units of a layer stay equal: after training they differ by at most "
        f"{apart:.1e} (from N(0, 0.01^2) by {drawn:.2g}), and the accuracy on dev is {right:.0%}.",
        f"From zeros the units did NOT stay equal and useless: they differ by {apart:.1e}, and "
        f"the accuracy on dev is {right:.0%}.",
        f"从零开始，同一层的单元始终相同：训练后相差不超过 {apart:.1e}（从 N(0, 0.01^2) 开始时"
        f"相差 {drawn:.2g}），开发集准确率 {right:.0%}。",
        f"从零开始，单元没有一直保持相同、毫无用处：训练后相差 {apart:.1e}，开发集准确率 "
        f"{right:.0%}。",
    )


def _large(n: Numbers) -> Claim:
    flat = max(n[f"normal 3/slope/{s}"] for s in SIDES)
    steep = min(n[f"Xavier/slope/{s}"] for s in SIDES)
    worse, better = (
        max(n[f"normal 3/dev/{s}"] for s in SIDES),
        min(n[f"Xavier/dev/{s}"] for s in SIDES),
    )
    found = (
        f"at the start their mean slope is {flat:.3f} (with Xavier {steep:.3f}), and after "
        f"training the accuracy on dev is {worse:.1%} (with Xavier {better:.1%})"
    )
    found_zh = (
        f"起点的平均斜率是 {flat:.3f}（Xavier 是 {steep:.3f}），训练后开发集准确率 {worse:.1%}"
        f"（Xavier 是 {better:.1%}）"
    )
    return claim(
        flat < 0.5 * steep and worse < better,
        f"Large weights saturate the units: {found}.",
        f"Large weights did NOT both saturate the units and reduce the accuracy here: {found}.",
        f"权重太大，单元就会饱和：{found_zh}。",
        f"这里并非权重一大，单元就饱和、准确率就下降：{found_zh}。",
    )


def _small(n: Numbers) -> Claim:
    small = max(n[f"normal 0.01/loss/{s}"] for s in SIDES)
    xavier, he = (max(n[f"{label}/loss/{s}"] for s in SIDES) for label in ("Xavier", "He"))
    found = f"the loss ends at {small:.3f} with 0.01, {xavier:.3f} with Xavier, {he:.3f} with He"
    found_zh = f"最后的损失，0.01 是 {small:.3f}，Xavier 是 {xavier:.3f}，He 是 {he:.3f}"
    return claim(
        max(xavier, he) < 0.5 * small,
        f"In this deeper network 0.01 is too small, and Xavier and He work: {found}.",
        f"Xavier and He are NOT much better than 0.01 here: {found}.",
        f"对这个较深的网络，0.01 太小，Xavier 和 He 合适：{found_zh}。",
        f"这里 Xavier 和 He 并不比 0.01 好多少：{found_zh}。",
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
        "steps": 120,
        "batch": 60,
        "log_every": 20,
        "seed": seed,
    }
    return Case.model_validate(base | options)


def _shown(values: list[float]) -> tuple[str, ...]:
    train, dev, loss, apart, steep = values
    return f"{train:.1%}", f"{dev:.1%}", f"{loss:.4f}", f"{apart:.2g}", f"{steep:.3f}"


ZH = "参数初始化：权重相等就永远相等，权重太大单元就饱和。"
LESSON = Lesson("initialization", ("初始化参数",), __doc__, measure, conclude, ZH)
