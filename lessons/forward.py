"""A layer is one matrix product: it computes all units and samples at once.

A unit does two things with its input x: z = w . x + b, then a = g(z), here the
sigmoid. The w of a unit is a row of 3 numbers. The rows of 4 units, one below
the other, are the matrix W.

  one unit       z_i = w_i . x + b_i   w_i (3,), x (3,), b_i ()     -> ()
  stacked        z = x @ W.T + b       W (4, 3), x (m, 3), b (4,)   -> (m, 4)
  in the course  Z = W X + b           W (4, 3), X (3, m), b (4, 1) -> (4, m)

Source: course week 3, "computing a network's output" and "vectorizing across
multiple examples".
"""

from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter

import numpy as np
import torch
from matplotlib.figure import Figure

from torch_parity import manual
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.judge.differences import compare
from torch_parity.compare.judge.judge import SIDES
from torch_parity.lessons.lesson import Claim, Lesson, Measured, Numbers, Table, claim, compared
from torch_parity.lessons.pictures import panels
from torch_parity.torch_ref.ops.linear import linear
from torch_parity.torch_ref.ops.sigmoid import sigmoid

Tensors = dict[str, np.ndarray]
Layer = Callable[[np.ndarray], Tensors]
Times = dict[tuple[str, int], tuple[float, float]]

N_IN, UNITS, SAMPLES = 3, 4, 200


def by_hand(W: np.ndarray, b: np.ndarray) -> Layer:
    """A layer in NumPy with one unit for each row of W: x -> z and a."""

    def layer(x: np.ndarray) -> Tensors:
        z = manual.linear(x, W, b)
        return {"z": z, "a": manual.sigmoid(z)}

    return layer


def in_torch(W: np.ndarray, b: np.ndarray) -> Layer:
    """The same layer with nn.Linear and nn.Sigmoid."""
    affine, activation = linear(W.shape[1], W.shape[0]).double(), sigmoid()
    with torch.no_grad():
        affine.weight.copy_(torch.tensor(W))
        affine.bias.copy_(torch.tensor(b))

    def layer(x: np.ndarray) -> Tensors:
        with torch.no_grad():
            z = affine(torch.tensor(x))
            return {"z": z.numpy(), "a": activation(z).numpy()}

    return layer


def one_by_one(units: list[Layer], x: np.ndarray) -> Tensors:
    """Compute one sample and one unit at a time."""
    made = [[unit(x[i : i + 1]) for unit in units] for i in range(len(x))]
    return {n: np.array([[float(u[n][0, 0]) for u in row] for row in made]) for n in ("z", "a")}


def measure(seed: int) -> Measured:
    """The same layer in both ways on both sides, and the time of each."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((SAMPLES, N_IN))
    W, b = manual.xavier_normal(rng, (UNITS, N_IN)), rng.standard_normal(UNITS)
    alone: dict[str, Tensors] = {}
    stacked: dict[str, Tensors] = {}
    times: Times = {}
    for side, build in (("manual", by_hand), ("torch", in_torch)):
        layer = build(W, b)
        units = [build(W[k : k + 1], b[k : k + 1]) for k in range(UNITS)]
        alone[side], stacked[side] = one_by_one(units, x), layer(x)
        for m in (1, 10, 50, SAMPLES):
            looped = _seconds(partial(one_by_one, units, x[:m]), 3)
            times[side, m] = (looped, _seconds(partial(layer, x[:m]), 20))
    both_ways = {s: _named("alone", alone[s]) | _named("stacked", stacked[s]) for s in SIDES}
    numbers = {
        **{f"gap/{s}": max(d.relative for d in compare(alone[s], stacked[s])) for s in SIDES},
        **{f"ratio/{s}": times[s, SAMPLES][0] / times[s, SAMPLES][1] for s in SIDES},
        "rows of W": W.shape[0],
        "columns of W": W.shape[1],
        **compared(both_ways["manual"], both_ways["torch"], {"x": x, "W": W, "b": b}, _nodes()),
    }
    return Measured(numbers, (_numbers(alone, stacked), _durations(times)), {"times": _draw(times)})


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """Both ways give the same numbers. The time depends on the machine."""
    gap = max(n["gap/manual"], n["gap/torch"])
    sizes = f"{n['rows of W']:.0f} rows of {n['columns of W']:.0f} weights"
    sizes_zh = f"{n['rows of W']:.0f} 行、每行 {n['columns of W']:.0f} 个权重"
    faster = min(n["ratio/manual"], n["ratio/torch"]) > 1
    by_hand, in_torch = f"{n['ratio/manual']:.1f}", f"{n['ratio/torch']:.1f}"
    ratios = (
        f"computing one by one takes {by_hand} times as long in NumPy and {in_torch} times as "
        "long in torch"
    )
    ratios_zh = f"逐个计算的用时，手写是 {by_hand} 倍，torch 是 {in_torch} 倍"
    return (
        claim(
            gap <= 1e-12,
            f"The matrix W ({sizes}) gives the same z and a as one unit and one sample at a time: "
            f"the difference is at most {gap:.1e} of the largest entry, which is rounding.",
            f"The matrix W ({sizes}) gives OTHER numbers than one unit and one sample at a time: "
            f"the difference is {gap:.1e} of the largest entry.",
            f"用矩阵 W（{sizes_zh}）一次算出的 z 和 a，与逐个单元、逐个样本算出的相同："
            f"相差不超过最大元素的 {gap:.1e}，这是舍入误差。",
            f"用矩阵 W（{sizes_zh}）一次算出的结果，与逐个单元、逐个样本算出的不同："
            f"相差达到最大元素的 {gap:.1e}。",
        ),
        claim(
            faster,
            f"For {SAMPLES} samples, {ratios}.",
            f"For {SAMPLES} samples, {ratios}: the matrix product is NOT faster here.",
            f"对 {SAMPLES} 个样本，{ratios_zh}。",
            f"对 {SAMPLES} 个样本，{ratios_zh}：这里矩阵乘法并没有更快。",
        ),
    )


def _named(way: str, tensors: Tensors) -> Tensors:
    return {f"{name} {way}": tensor for name, tensor in tensors.items()}


def _nodes() -> Iterator[Node]:
    """What each tensor should be."""
    for way in ("alone", "stacked"):
        yield Node("linear", ("x", "W", "b"), (f"z {way}",))
        yield Node("sigmoid", (f"z {way}",), (f"a {way}",))


def _numbers(alone: dict[str, Tensors], stacked: dict[str, Tensors]) -> Table:
    columns = ("first sample", "one by one, manual", "torch", "at once, manual", "torch")
    zh = {
        "Four units, one by one and at once": "四个单元：逐个计算与一次算完",
        "first sample": "第一个样本",
        "one by one": "逐个",
        "at once": "一次",
    }
    rows = tuple(
        (f"{n}_{k + 1}", *(f"{way[s][n][0, k]:.10f}" for way in (alone, stacked) for s in SIDES))
        for k in range(UNITS)
        for n in ("z", "a")
    )
    return Table("Four units, one by one and at once", columns, rows, zh)


def _durations(times: Times) -> Table:
    rows = tuple(
        (side, str(m), f"{loop * 1e6:.0f} us", f"{once * 1e6:.0f} us", f"{loop / once:.1f}")
        for (side, m), (loop, once) in times.items()
    )
    zh = {
        "Time on this machine": "在这台机器上的用时",
        "samples": "样本数",
        "one by one": "逐个",
        "at once": "一次",
        "ratio": "比值",
    }
    columns = ("side", "samples", "one by one", "at once", "ratio")
    return Table("Time on this machine", columns, rows, zh)


def _seconds(work: Callable[[], object], times: int) -> float:
    """The fastest of several runs, because other programs can only slow a run down."""
    taken = []
    for _ in range(times):
        began = perf_counter()
        work()
        taken.append(perf_counter() - began)
    return min(taken)


def _draw(times: Times) -> Figure:
    figure, (ax,) = panels(1, 1, width=5)
    for side in SIDES:
        at = [m for s, m in times if s == side]
        for i, (way, dashes) in enumerate((("one by one", "-"), ("at once", ":"))):
            seconds = [times[side, m][i] for m in at]
            ax.loglog(at, seconds, dashes, marker="o", label=f"{side}, {way}")
    ax.set(xlabel="samples", ylabel="seconds")
    ax.legend(frameon=False)
    return figure


ZH = "一层就是一次矩阵乘法：所有单元和所有样本一次算完。"
LESSON = Lesson("forward", ("计算神经网络的输出",), __doc__, measure, conclude, ZH)
