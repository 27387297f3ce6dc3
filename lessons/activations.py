"""Activations: their slopes, where they saturate, and the slope at z = 0.

  sigmoid     a = 1 / (1 + e^-z)               g'(z) = a (1 - a)
  tanh        a = (e^z - e^-z) / (e^z + e^-z)  g'(z) = 1 - a^2
  relu        a = max(0, z)                    g'(z) = 1 if z > 0 else 0
  leaky_relu  a = max(0.01 z, z)               g'(z) = 1 if z > 0 else 0.01

All work entry by entry: z (m, n) -> a (m, n). In hidden layers tanh is better
than sigmoid: its outputs are centred on 0, and its slope is up to 1, not 1/4.
Sigmoid is for an output between 0 and 1. Both are flat where |z| is large (they
saturate), so gradient descent hardly moves there. relu keeps its slope for all
z > 0; choose it if you are not sure. The lesson trains the same network with
each. At exactly z = 0 relu has no slope; a convention defines one.

Source: course week 3, "activation functions" and their derivatives.
"""

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from torch_parity.compare.case import Case
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.judge.judge import SIDES
from torch_parity.compare.register import OPERATIONS
from torch_parity.compare.show.curves import STYLE
from torch_parity.lessons.experiment import Trained, slope, train, value
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
from torch_parity.lessons.pictures import curves, panels
from torch_parity.manual.recording import input_names

NAMES = ("sigmoid", "tanh", "relu", "leaky_relu")
POINTS = (-10.0, -1.0, 0.0, 1.0, 10.0)
DRAWN = (500, 20)


def measure(seed: int) -> Measured:
    """Values and slopes at five points, means over standard normal z, and the same network trained
    with each activation."""
    points = np.array([POINTS])
    z = np.random.default_rng(seed).standard_normal(DRAWN)
    tensors: dict[str, dict[str, np.ndarray]] = {side: {} for side in SIDES}
    numbers: dict[str, float] = {"share of z at 0": float(np.mean(z == 0))}
    for side in SIDES:
        for name in NAMES:
            g, dg = value(side, name, points), slope(side, name, points)
            tensors[side] |= {f"{name}/value": g, f"{name}/slope": dg}
            tensors[side] |= {f"{name}/drawn": value(side, name, z)}
            numbers[f"{name}/slope at 10/{side}"] = float(dg[0, -1])
            numbers[f"{name}/slope at -10/{side}"] = float(dg[0, 0])
            numbers[f"{name}/slope at 0/{side}"] = float(dg[0, 2])
            numbers[f"{name}/mean/{side}"] = float(value(side, name, z).mean())
        a = value(side, "sigmoid", z)
        gap = np.abs(a * (1 - a) - slope(side, "sigmoid", z)).max()
        numbers[f"sigmoid/formula/{side}"] = float(gap)
        gap = np.abs(1 - value(side, "tanh", z) ** 2 - slope(side, "tanh", z)).max()
        numbers[f"tanh/formula/{side}"] = float(gap)
    given = {"points": points, "z": z, "ones": np.ones_like(points)}
    numbers |= compared(tensors["manual"], tensors["torch"], given, _nodes())
    runs = {name: train(_case(seed, name)) for name in NAMES}
    numbers |= judged(runs.values()) | _learnt(runs)
    tables = (
        _at_points("value", tensors),
        _at_points("slope", tensors),
        Table(
            f"Mean activation for {z.size} standard normal z",
            ("activation", *SIDES),
            tuple((n, *(f"{numbers[f'{n}/mean/{s}']:.4f}" for s in SIDES)) for n in NAMES),
            {
                f"Mean activation for {z.size} standard normal z": f"激活值的平均（{z.size} 个"
                "服从标准正态分布的 z）",
                "activation": "激活函数",
            },
        ),
        _trained(numbers),
    )
    figures = {"activations": _draw(), "loss": curves(runs, "loss/train")}
    return Measured(numbers, tables, figures, runs)


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """The formulas of the notes, saturation, the means, which learns best, and z = 0."""
    return _formulas(n), _saturation(n), _means(n), _why_tanh(n), _why_relu(n), _at_zero(n)


def _formulas(n: Numbers) -> Claim:
    gap = max(n[f"{name}/formula/{side}"] for name in ("sigmoid", "tanh") for side in SIDES)
    return claim(
        gap <= 1e-15,
        "a (1 - a) is the slope of sigmoid, and 1 - a^2 that of tanh: on both sides the "
        f"difference is at most {gap:.1e}.",
        f"a (1 - a) and 1 - a^2 are NOT the slopes of sigmoid and tanh: they differ by {gap:.1e}.",
        f"a (1 - a) 是 sigmoid 的斜率，1 - a^2 是 tanh 的斜率：两边的误差都不超过 {gap:.1e}。",
        f"a (1 - a) 和 1 - a^2 不是 sigmoid 和 tanh 的斜率：相差 {gap:.1e}。",
    )


def _saturation(n: Numbers) -> Claim:
    flat = {a: max(n[f"{a}/slope at 10/{s}"] for s in SIDES) for a in ("sigmoid", "tanh")}
    steep = min(n[f"relu/slope at 10/{s}"] for s in SIDES)
    dead = max(n[f"relu/slope at -10/{s}"] for s in SIDES)
    leaky = min(n[f"leaky_relu/slope at -10/{s}"] for s in SIDES)
    found = (
        f"at z = 10 the slope of sigmoid is {flat['sigmoid']:.1e}, of tanh {flat['tanh']:.1e}, of "
        f"relu {steep:g}; at z = -10 the slope of relu is {dead:g}, of leaky_relu {leaky:g}"
    )
    found_zh = (
        f"z = 10 处，sigmoid 的斜率是 {flat['sigmoid']:.1e}，tanh 是 {flat['tanh']:.1e}，"
        f"relu 是 {steep:g}；z = -10 处，relu 是 {dead:g}，leaky_relu 是 {leaky:g}"
    )
    return claim(
        max(flat.values()) < 1e-4 and steep == 1 and dead == 0 < leaky,
        f"Sigmoid and tanh saturate: {found}.",
        f"Sigmoid and tanh do NOT saturate as the notes say: {found}.",
        f"sigmoid 和 tanh 会饱和：{found_zh}。",
        f"sigmoid 和 tanh 没有像笔记说的那样饱和：{found_zh}。",
    )


def _means(n: Numbers) -> Claim:
    sigmoid, tanh = ([n[f"{a}/mean/{s}"] for s in SIDES] for a in ("sigmoid", "tanh"))
    found = f"the mean activation of tanh is {tanh[0]:.4f}, of sigmoid {sigmoid[0]:.4f}"
    found_zh = f"激活值的平均，tanh 是 {tanh[0]:.4f}，sigmoid 是 {sigmoid[0]:.4f}"
    return claim(
        max(map(abs, tanh)) < 0.1 < 0.4 < min(sigmoid),
        f"tanh is centred on 0 and sigmoid is not: {found}.",
        f"It is NOT so here that tanh is centred on 0 and sigmoid is not: {found}.",
        f"tanh 以 0 为中心，sigmoid 不是：{found_zh}。",
        f"这里并非 tanh 以 0 为中心而 sigmoid 不是：{found_zh}。",
    )


def _why_tanh(n: Numbers) -> Claim:
    loss = {a: [n[f"{a}/loss/{s}"] for s in SIDES] for a in ("sigmoid", "tanh")}
    back = {a: [n[f"{a}/back/{s}"] for s in SIDES] for a in ("sigmoid", "tanh")}
    steps = _case(0, "tanh").steps
    found = (
        f"after {steps} steps the loss is {loss['tanh'][0]:.3f} with tanh and "
        f"{loss['sigmoid'][0]:.3f} with sigmoid; at the first step dW1 is {back['tanh'][0]:.2f} of "
        f"dW2 with tanh and {back['sigmoid'][0]:.2f} with sigmoid"
    )
    found_zh = (
        f"训练 {steps} 步后，tanh 的损失是 {loss['tanh'][0]:.3f}，sigmoid 是 "
        f"{loss['sigmoid'][0]:.3f}；第一步时 dW1 与 dW2 大小之比，tanh 是 {back['tanh'][0]:.2f}，"
        f"sigmoid 是 {back['sigmoid'][0]:.2f}"
    )
    return claim(
        max(loss["tanh"]) < min(loss["sigmoid"]) and max(back["sigmoid"]) < min(back["tanh"]),
        f"tanh learns faster than sigmoid in hidden layers: {found}.",
        f"tanh did NOT learn faster than sigmoid and pass on more of the gradient: {found}.",
        f"在隐藏层中，tanh 比 sigmoid 学得快：{found_zh}。",
        f"这里 tanh 并非既比 sigmoid 学得快、又传回更多的梯度：{found_zh}。",
    )


def _why_relu(n: Numbers) -> Claim:
    relu, tanh = ([n[f"{a}/loss/{s}"] for s in SIDES] for a in ("relu", "tanh"))
    found = f"a loss of {relu[0]:.3f} against {tanh[0]:.3f} after the same number of steps"
    found_zh = f"同样的步数后，损失是 {relu[0]:.3f}，tanh 是 {tanh[0]:.3f}"
    return claim(
        max(relu) < min(tanh),
        f"relu learns faster still: {found}.",
        f"relu did NOT learn faster than tanh here: {found}.",
        f"relu 学得更快：{found_zh}。",
        f"这里 relu 没有比 tanh 学得更快：{found_zh}。",
    )


def _at_zero(n: Numbers) -> Claim:
    relu, leaky = ([n[f"{a}/slope at 0/{s}"] for s in SIDES] for a in ("relu", "leaky_relu"))
    share = f"{n['share of z at 0']:.0%}"
    found = (
        f"the slope of relu is {relu[0]:g} in NumPy and {relu[1]:g} in torch, of leaky_relu "
        f"{leaky[0]:g} and {leaky[1]:g}; {share} of the random z are exactly 0"
    )
    found_zh = (
        f"relu 的斜率，手写是 {relu[0]:g}，torch 是 {relu[1]:g}；leaky_relu 分别是 {leaky[0]:g} 和 "
        f"{leaky[1]:g}；随机抽取的 z 中恰好为 0 的占 {share}"
    )
    return claim(
        relu[0] == relu[1] and leaky[0] == leaky[1] and n["share of z at 0"] < 0.01,
        f"At z = 0 both sides use the same convention, and it hardly matters: {found}.",
        f"At z = 0 the sides do NOT use the same convention, or it matters: {found}.",
        f"在 z = 0 处两边的约定相同，而且几乎没有影响：{found_zh}。",
        f"在 z = 0 处两边的约定不同，或者它有影响：{found_zh}。",
    )


def _nodes() -> Iterator[Node]:
    """What each tensor should be."""
    for name in NAMES:
        made = {"da": "ones", "z": "points", "a": f"{name}/value"}
        backward = tuple(made[asked] for asked in input_names(OPERATIONS[name].backward))
        yield Node(name, ("points",), (f"{name}/value",))
        yield Node(f"{name}_backward", backward, (f"{name}/slope",))
        yield Node(name, ("z",), (f"{name}/drawn",))


def _case(seed: int, activation: str) -> Case:
    return Case.model_validate(
        {
            "data": "circles",
            "samples": 200,
            "hidden": (8, 8),
            "activation": activation,
            "initializer": "xavier_normal",
            "bias_scale": 0,
            "p": 0,
            "l2": 0,
            "optimizer": "sgd",
            "lr": 0.5,
            "steps": 100,
            "batch": 40,
            "log_every": 20,
            "seed": seed,
        }
    )


def _learnt(runs: dict[str, Trained]) -> dict[str, float]:
    """Of each training and side: the last loss and accuracy, and the size of dW1 relative to dW2
    at the first step."""
    numbers: dict[str, float] = {}
    for (name, trained), side in ((r, s) for r in runs.items() for s in SIDES):
        first = trained.records[0].traces[side]
        numbers |= {
            f"{name}/loss/{side}": trained.last(side, "loss/train"),
            f"{name}/dev/{side}": trained.last(side, "accuracy/dev"),
            f"{name}/back/{side}": float(
                np.linalg.norm(first["dW1"]) / np.linalg.norm(first["dW2"])
            ),
        }
    return numbers


def _trained(n: Numbers) -> Table:
    title = "Two hidden layers on circles, 100 steps of gradient descent"
    rows = tuple(
        (
            name,
            side,
            f"{n[f'{name}/loss/{side}']:.4f}",
            f"{n[f'{name}/dev/{side}']:.1%}",
            f"{n[f'{name}/back/{side}']:.3f}",
        )
        for name in NAMES
        for side in SIDES
    )
    zh = {
        title: "两个隐藏层，圆环数据，梯度下降 100 步",
        "activation": "激活函数",
        "accuracy on dev": "开发集准确率",
        "|dW1| / |dW2| at step 1": "第一步的 |dW1| / |dW2|",
    }
    columns = ("activation", "side", "loss", "accuracy on dev", "|dW1| / |dW2| at step 1")
    return Table(title, columns, rows, zh)


def _at_points(what: str, tensors: dict[str, dict[str, np.ndarray]]) -> Table:
    rows = tuple(
        (f"{name}, {side}", *(f"{v:.6g}" for v in tensors[side][f"{name}/{what}"][0]))
        for name in NAMES
        for side in SIDES
    )
    zh = {"Value": "函数值", "Slope": "斜率", "z =": "z ="}
    return Table(what.title(), ("z =", *(f"{z:g}" for z in POINTS)), rows, zh)


def _draw() -> Figure:
    """Each function above its slope. The NumPy curve is thick, the torch curve thin."""
    z = np.linspace(-6, 6, 601)[None]
    figure, axes = panels(2, len(NAMES))
    for i, name in enumerate(NAMES):
        for side in SIDES:
            axes[i].plot(z[0], value(side, name, z)[0], label=side, **STYLE[side])
            axes[i + len(NAMES)].plot(z[0], slope(side, name, z)[0], label=side, **STYLE[side])
        axes[i].set_title(name)
        axes[i + len(NAMES)].set_title(f"{name}: slope")
    axes[0].legend(frameon=False)
    return figure


ZH = "激活函数：它们的斜率，在哪里饱和，以及 z = 0 处的斜率。"
LESSON = Lesson("activations", ("激活函数",), __doc__, measure, conclude, ZH)
