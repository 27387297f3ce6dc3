"""Backpropagation: every line in NumPy, in torch, and as exact derivative.

A network of 2 inputs, 3 tanh units and 1 sigmoid unit, m samples as rows:

  forward                       backward                             shapes
  z1 = x @ W1.T + b1            dz1 = da1 (1 - tanh(z1)^2)           (m, 3)
  a1 = tanh(z1)                 da1 = dz2 @ W2                       (m, 3)
  z2 = a1 @ W2.T + b2           dz2 = da2 a2 (1 - a2) = (a2 - y)/m   (m, 1)
  a2 = sigmoid(z2)              da2 = (a2 - y) / (a2 (1 - a2)) / m   (m, 1)
                                dW2 = dz2.T @ a1, db2 = sum of dz2   (1, 3) (1,)
                                dW1 = dz1.T @ x,  db1 = sum of dz1   (3, 2) (3,)

  logistic loss     loss = -mean(y log a2 + (1 - y) log(1 - a2))
  gradient descent  W := W - lr dW,  b := b - lr db

The course has dZ2 = A2 - Y and puts 1/m in dW; here 1/m appears once, in the
loss. The exact derivative is computed from the forward line only (by the
complex step), so it does not repeat a mistake in a backward formula. One
product over m samples is the mean of the gradients of the m single samples.

Source: course week 3, "gradient descent for neural networks" and
"backpropagation intuition".
"""

import numpy as np

from torch_parity.compare import data
from torch_parity.compare.case import Case
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.compare.judge.witness import exact_derivative as entry_of
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
    gap,
    judged,
)
from torch_parity.lessons.pictures import curves
from torch_parity.manual.models.step import Tensors

SAMPLES, LR = 4, 0.5
LINES = {
    "da2": "(a2-y)/(a2(1-a2))/m",
    "dz2": "da2 a2 (1-a2)",
    "dW2": "dz2.T @ a1",
    "db2": "sum of dz2",
    "dh1": "dz2 @ W2 = da1",
    "dz1": "da1 (1-tanh(z1)^2)",
    "dW1": "dz1.T @ x",
    "db1": "sum of dz1",
}


def measure(seed: int) -> Measured:
    """One recorded step of a few samples, the same samples one by one, and a whole training."""
    step = _step(seed, slice(SAMPLES))
    exact = {side: {line: exact_derivative(step, side, line) for line in LINES} for side in SIDES}
    descent = train(_case(seed, batch=160, steps=200))
    runs = {"descent": descent}
    numbers = judged(runs.values()) | compared(step.manual, step.torch, step.start, step.nodes)
    for side in SIDES:
        t, start = step.trace(side), step.start
        losses = descent.curve(side, "loss/train")
        numbers |= {
            f"exact/{side}": max(gap(t[line], exact[side][line]) for line in LINES),
            f"shortcut/{side}": gap(t["dz2"], (t["a2"] - start["y"]) / SAMPLES),
            f"one by one/{side}": _one_by_one(seed, step, side),
            f"update/{side}": gap(t["W1"], start["W1"] - LR * t["dW1"]),
            f"loss before/{side}": losses[0],
            f"loss after/{side}": losses[-1],
        }
    tables = (_forward_table(step), _backward_table(step, exact))
    return Measured(numbers, tables, {"loss": curves(runs, "loss/train")}, runs)


def exact_derivative(step: Recorded, side: Side, line: str) -> np.ndarray:
    """Each entry of a gradient by the complex step, from its forward line."""
    trace = step.trace(side)
    node = next(n for n in step.nodes if line in n.outputs)
    known = {**trace, **step.start}
    entries = [entry_of(node, line, i, known) for i in np.ndindex(trace[line].shape)]
    return np.array(entries, dtype=np.float64).reshape(trace[line].shape)


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """The lines are right, dz2 is (a2 - y)/m, a product is a mean, and the loss falls."""
    worst = {what: max(n[f"{what}/{s}"] for s in SIDES) for what in ("exact", "shortcut", "update")}
    alone = max(n[f"one by one/{s}"] for s in SIDES)
    before, after = ([n[f"loss {when}/{s}"] for s in SIDES] for when in ("before", "after"))
    losses = f"from {before[0]:.4f} to {after[0]:.4f} in NumPy and to {after[1]:.4f} in torch"
    losses_zh = f"从 {before[0]:.4f} 降到 {after[0]:.4f}（手写）和 {after[1]:.4f}（torch）"
    return (
        claim(
            worst["exact"] <= 1e-12,
            f"All {len(LINES)} backward lines equal the exact derivative of their forward lines: "
            f"on both sides the difference is at most {worst['exact']:.1e} of the largest entry.",
            "A backward line is WRONG: it differs from the exact derivative by "
            f"{worst['exact']:.1e} of the largest entry.",
            f"{len(LINES)} 行反向公式都等于对应前向公式的精确导数：两边的误差都不超过各张量"
            f"最大元素的 {worst['exact']:.1e}。",
            f"有一行反向公式是错的：与精确导数相差达到最大元素的 {worst['exact']:.1e}。",
        ),
        claim(
            worst["shortcut"] <= 1e-12,
            "The derivatives of logistic loss and sigmoid simplify: dz2 equals (a2 - y)/m up to "
            f"{worst['shortcut']:.1e}.",
            f"dz2 is NOT (a2 - y)/m: they differ by {worst['shortcut']:.1e}.",
            f"logistic 损失与 sigmoid 的导数可以约分：dz2 等于 (a2 - y)/m，误差不超过 "
            f"{worst['shortcut']:.1e}。",
            f"dz2 不等于 (a2 - y)/m：相差 {worst['shortcut']:.1e}。",
        ),
        claim(
            alone <= 1e-12,
            f"One product over all samples equals the mean of the gradients of {SAMPLES} single "
            f"samples up to {alone:.1e}.",
            "One product over all samples is NOT the mean of the gradients of single samples: they "
            f"differ by {alone:.1e}.",
            f"对所有样本的一次乘法，等于 {SAMPLES} 个样本各自梯度的平均，误差不超过 {alone:.1e}。",
            f"对所有样本的一次乘法，不等于各样本梯度的平均：相差 {alone:.1e}。",
        ),
        claim(
            worst["update"] <= 1e-12 and max(after) < min(before),
            f"200 steps of W := W - lr dW reduce the loss {losses}.",
            f"200 steps of W := W - lr dW did NOT work as expected: the loss went {losses}, and "
            f"the update differs from W - lr dW by {worst['update']:.1e}.",
            f"W := W - lr dW 走 200 步，损失{losses_zh}。",
            f"W := W - lr dW 走 200 步，结果与预期不符：损失{losses_zh}，更新与 W - lr dW 相差 "
            f"{worst['update']:.1e}。",
        ),
    )


def _case(seed: int, batch: int = SAMPLES, steps: int = 1) -> Case:
    return Case.model_validate(
        {
            "data": "moons",
            "samples": 200,
            "hidden": (3,),
            "activation": "tanh",
            "initializer": "xavier_normal",
            "bias_scale": 0.3,
            "p": 0,
            "l2": 0,
            "optimizer": "sgd",
            "lr": LR,
            "batch": batch,
            "steps": steps,
            "seed": seed,
        }
    )


def _step(seed: int, rows: slice) -> Recorded:
    """The first step of both sides on these samples."""
    case = _case(seed)
    loaded = data.load(case)
    sides = pair.build(case, loaded)
    return record(sides, loaded.x_train[rows], sides.targets.y_train[rows], count=1)[0]


def _one_by_one(seed: int, step: Recorded, side: Side) -> float:
    """The difference between the mean of the single gradients and that of the batch."""
    alone = [_step(seed, slice(i, i + 1)).trace(side) for i in range(SAMPLES)]
    names = ("dW1", "db1", "dW2", "db2")
    return max(
        gap(step.trace(side)[name], np.mean([t[name] for t in alone], axis=0)) for name in names
    )


def _forward_table(step: Recorded) -> Table:
    rows = tuple(
        (
            name,
            str(step.manual[name].shape),
            *(f"{step.trace(s)[name].flat[0]:.10f}" for s in SIDES),
        )
        for name in ("z1", "a1", "z2", "a2", "loss")
    )
    zh = {
        "Forward: the first entry of each tensor": "前向：每个张量的第一个元素",
        "tensor": "张量",
        "shape": "形状",
    }
    return Table(next(iter(zh)), ("tensor", "shape", *SIDES), rows, zh)


def _backward_table(step: Recorded, exact: dict[Side, Tensors]) -> Table:
    rows = tuple(
        (
            f"{line} = {formula}",
            *(f"{step.trace(s)[line].flat[0]:.10f}" for s in SIDES),
            f"{exact['manual'][line].flat[0]:.10f}",
            f"{max(gap(step.trace(s)[line], exact[s][line]) for s in SIDES):.1e}",
        )
        for line, formula in LINES.items()
    )
    columns = ("line", *SIDES, "exact", "difference")
    zh = {
        "Backward: the first entry of each tensor; the greatest difference of all its entries": (
            "反向：每个张量的第一个元素；差距取所有元素中最大的"
        ),
        "line": "公式",
        "exact": "精确导数",
        "difference": "差距",
    }
    return Table(next(iter(zh)), columns, rows, zh)


ZH = "反向传播：每一行都有手写、torch 和精确导数三个结果。"
LESSON = Lesson("backprop", ("反向传播 （Back Propagation）",), __doc__, measure, conclude, ZH)
