"""A layer is one matrix product: units stacked give what they give one by one.

A unit does two things with what comes in: z = w . x + b, then a = g(z), here
the sigmoid. Its w is a row of 3 numbers; the rows of 4 units, stacked on top of
one another, are the matrix W.

  one unit       z_i = w_i . x + b_i   w_i (3,), x (3,), b_i ()     -> ()
  stacked        z = x @ W.T + b       W (4, 3), x (m, 3), b (4,)   -> (m, 4)
  in the course  Z = W X + b           W (4, 3), X (3, m), b (4, 1) -> (4, m)

Source: course week 3, "computing a network's output" and "vectorizing across
multiple examples".
"""

from collections.abc import Callable
from functools import partial
from time import perf_counter

import numpy as np
import torch
from matplotlib.figure import Figure

from torch_parity import manual
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
    """x -> z and a of as many units as W has rows."""

    def layer(x: np.ndarray) -> Tensors:
        z = manual.linear(x, W, b)
        return {"z": z, "a": manual.sigmoid(z)}

    return layer


def in_torch(W: np.ndarray, b: np.ndarray) -> Layer:
    """The same by nn.Linear and nn.Sigmoid."""
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
    """One sample and one unit at a time."""
    made = [[unit(x[i : i + 1]) for unit in units] for i in range(len(x))]
    return {n: np.array([[float(u[n][0, 0]) for u in row] for row in made]) for n in ("z", "a")}


def measure(seed: int) -> Measured:
    """The same layer both ways on both sides, and how long each took."""
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
    numbers = {
        **{f"gap/{s}": max(d.relative for d in compare(alone[s], stacked[s])) for s in SIDES},
        **{f"ratio/{s}": times[s, SAMPLES][0] / times[s, SAMPLES][1] for s in SIDES},
        "rows of W": W.shape[0],
        "columns of W": W.shape[1],
        **compared(
            *({**_named("alone", alone[s]), **_named("stacked", stacked[s])} for s in SIDES)
        ),
    }
    return Measured(numbers, (_numbers(alone, stacked), _durations(times)), {"times": _draw(times)})


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """Same numbers. The time is told, and depends on the machine."""
    gap = max(n["gap/manual"], n["gap/torch"])
    stack = f"{n['rows of W']:.0f} rows of {n['columns of W']:.0f} weights, stacked to W, give "
    faster = min(n["ratio/manual"], n["ratio/torch"]) > 1
    ratios = (
        f"one by one takes {n['ratio/manual']:.1f} times as long by hand and "
        f"{n['ratio/torch']:.1f} times as long in torch"
    )
    return (
        claim(
            gap <= 1e-12,
            f"{stack}the same z and a as unit after unit, sample after sample: apart by at most "
            f"{gap:.1e} of the largest entry, which is rounding.",
            f"{stack}OTHER numbers than unit after unit: {gap:.1e} of the largest entry apart.",
        ),
        claim(
            faster,
            f"On {SAMPLES} samples, {ratios}.",
            f"On {SAMPLES} samples, {ratios}: stacking did NOT pay here.",
        ),
    )


def _named(way: str, tensors: Tensors) -> Tensors:
    return {f"{name} {way}": tensor for name, tensor in tensors.items()}


def _numbers(alone: dict[str, Tensors], stacked: dict[str, Tensors]) -> Table:
    columns = ("first sample", "alone, manual", "torch", "stacked, manual", "torch")
    rows = tuple(
        (f"{n}_{k + 1}", *(f"{way[s][n][0, k]:.10f}" for way in (alone, stacked) for s in SIDES))
        for k in range(UNITS)
        for n in ("z", "a")
    )
    return Table("Four units, one by one and stacked", columns, rows)


def _durations(times: Times) -> Table:
    rows = tuple(
        (side, str(m), f"{loop * 1e6:.0f} us", f"{once * 1e6:.0f} us", f"{loop / once:.1f}")
        for (side, m), (loop, once) in times.items()
    )
    return Table("Time on this machine", ("", "samples", "one by one", "stacked", "ratio"), rows)


def _seconds(work: Callable[[], object], times: int) -> float:
    """The fastest of a few: whatever else the machine does can only slow it down."""
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
        for i, (way, dashes) in enumerate((("one by one", "-"), ("stacked", ":"))):
            seconds = [times[side, m][i] for m in at]
            ax.loglog(at, seconds, dashes, marker="o", label=f"{side}, {way}")
    ax.set(xlabel="samples", ylabel="seconds")
    ax.legend(frameon=False)
    return figure


LESSON = Lesson("forward", ("计算神经网络的输出",), __doc__, measure, conclude)
