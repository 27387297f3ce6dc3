"""Batch norm: each unit gets mean 0 and deviation 1 over the batch.

  mean = mean of x over the batch            x (m, n), mean and var (n,)
  var  = mean of (x - mean)^2
  xhat = (x - mean) / sqrt(var + eps)
  out  = xhat * weight + bias                weight and bias (n,) are learnt

  backward: dbias = sum dout,  dweight = sum dout xhat
            dx = weight / std * (dout - dbias/m - xhat dweight/m)

Every sample of the batch has a share in mean and var, so dx has two terms more
than the division alone: one comes through the mean, one through the variance.
Evaluation takes running averages of mean and var from training instead, so that
the output of a sample does not depend on the others in its batch.

The scale of x cancels: batch_norm(k x) = batch_norm(x), up to eps. So does any
bias of the layer before: its gradient is 0.

Source: Ioffe and Szegedy 2015; course 2 week 3, "batch normalization".
"""

from collections.abc import Mapping

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from torch_parity import manual
from torch_parity.compare.causes.norms import CAUSES
from torch_parity.compare.judge.judge import SIDES
from torch_parity.compare.sources.recorded import Both
from torch_parity.lessons.batch_norm_modes import (
    DEVIATION,
    EPS,
    MEAN,
    MOMENTUM,
    STATE,
    N,
    averages_are_near,
    drawn,
    evaluation,
    normalized,
    others_matter,
    running,
)
from torch_parity.lessons.by_operations import exact_gradient, in_torch, law
from torch_parity.lessons.lesson import (
    Claim,
    Lesson,
    Measured,
    Numbers,
    Table,
    claim,
    compared,
    gap,
    worst,
)
from torch_parity.lessons.mistakes import all_named, plant_in
from torch_parity.manual.models.step import Tensors

M, N_IN = 8, 3
SCALE = 100.0
PLANTED = tuple(c for c in CAUSES if c.name not in ("norm_axes", "train_eval_mode"))


def forward(at: Mapping[str, np.ndarray]) -> Tensors:
    """A layer, and its batch norm in training: z = x @ W.T + b, then out."""
    t = {"z": manual.linear(at["x"], at["W"], at["b"])}
    out, mean, var = manual.batch_norm(
        t["z"], *(at[n] for n in (*STATE, "weight", "bias")), training=True, eps=EPS
    )
    return t | {"updated_mean": mean, "updated_var": var, "out": out}


def backward(at: Mapping[str, np.ndarray], t: Mapping[str, np.ndarray]) -> Tensors:
    """dz, dweight and dbias of the norm, then dx, dW and db of the layer."""
    g = {}
    g["dz"], g["dweight"], g["dbias"] = manual.batch_norm_backward(
        at["dout"], t["z"], *(at[n] for n in (*STATE, "weight")), training=True, eps=EPS
    )
    g["dx"], g["dW"], g["db"] = manual.linear_backward(g["dz"], at["x"], at["W"])
    return g


def torch_forward(at: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same; torch overwrites the running statistics, here a copy of them."""
    mean, var = (at[n].detach().clone() for n in STATE)
    z = F.linear(at["x"], at["W"], at["b"])
    out = F.batch_norm(z, mean, var, at["weight"], at["bias"], True, MOMENTUM, EPS)
    return {"z": z, "updated_mean": mean, "updated_var": var, "out": out}


def measure(seed: int) -> Measured:
    """One layer with its norm on both sides, what cancels, evaluation, and planted mistakes."""
    given = _given(seed)
    start = {**given, "dout": np.random.default_rng([seed, 8]).standard_normal((M, N))}
    by_hand = forward(given)
    by_hand |= backward(start, by_hand)
    by_torch = in_torch(torch_forward, given, start["dout"], STATE)
    both = Both(law(forward, given, STATE), start, by_hand, by_torch)
    exact = {
        f"d{n}": exact_gradient(forward, given, start["dout"], n)
        for n in ("x", "W", "weight", "bias")
    }
    numbers = compared(by_hand, by_torch, start, both.nodes)
    for side in SIDES:
        t = both.trace(side)
        xhat = (t["out"] - given["bias"]) / given["weight"]
        numbers |= {
            f"exact/{side}": max(gap(t[n], exact[n]) for n in exact),
            f"mean/{side}": float(np.abs(xhat.mean(axis=0)).max()),
            f"deviation/{side}": float(np.abs(xhat.std(axis=0) - 1).max()),
            f"sum/{side}": float(np.abs(t["dz"].sum(axis=0)).max()),
            f"along/{side}": float(np.abs((t["dz"] * xhat).sum(axis=0)).max()),
            f"db/{side}": float(np.abs(t["db"]).max()),
            f"dz/{side}": float(np.abs(t["dz"]).max()),
        }
    averages = {side: running(seed, side) for side in SIDES}
    for side, states in averages.items():
        numbers |= evaluation(given, side) | {
            f"running mean/{side}": float(np.abs(states[-1, 0] - MEAN).max()),
            f"running var/{side}": float(np.abs(states[-1, 1] - DEVIATION**2).max()),
        }
    numbers |= _scaled(given, by_hand["z"], start["dout"])
    planted, mistakes = plant_in(both, PLANTED)
    alone = exact_gradient(
        lambda at: {"out": manual.batch_norm(*at.values(), training=True, eps=EPS)[0]},
        {"z": by_hand["z"], **{n: given[n] for n in (*STATE, "weight", "bias")}},
        start["dout"],
        "z",
    )
    tables = (_terms(start, both, alone), mistakes)
    return Measured(numbers | planted, tables, {"running": drawn(averages)})


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """Mean and deviation, the gradient, what cancels, evaluation, running averages, mistakes."""
    return (
        *(_normal(n), _exact(n), _cancels(n), _bias(n)),
        *(others_matter(n), averages_are_near(n), all_named(n, PLANTED)),
    )


def _normal(n: Numbers) -> Claim:
    mean, deviation = worst(n, "mean"), worst(n, "deviation")
    return claim(
        mean < 1e-12 and deviation < 1e-3,
        f"Every unit has mean 0 (up to {mean:.1e}) and deviation 1 (up to {deviation:.1e}, "
        "which is the effect of eps).",
        f"The units do NOT have mean 0 and deviation 1: they are off by {mean:.1e} and "
        f"{deviation:.1e}.",
        f"每个单元的均值是 0（误差不超过 {mean:.1e}），标准差是 1（误差不超过 {deviation:.1e}，"
        "来自 eps）。",
        f"各单元的均值和标准差不是 0 和 1：分别相差 {mean:.1e} 和 {deviation:.1e}。",
    )


def _exact(n: Numbers) -> Claim:
    exact, total, along = (worst(n, what) for what in ("exact", "sum", "along"))
    size = min(n[f"dz/{s}"] for s in SIDES)
    return claim(
        exact < 1e-12 and max(total, along) < 1e-3 * size,
        f"The three terms are the exact gradient (up to {exact:.1e} of the largest entry). Over "
        f"the batch, dz of a unit sums to 0 (up to {total:.1e}), and so does dz xhat (up to "
        f"{along:.1e}, the effect of eps).",
        f"The three terms are NOT the exact gradient (off by {exact:.1e}), or dz does not sum to 0 "
        f"({total:.1e}), or dz xhat does not ({along:.1e}).",
        f"三项之和就是精确梯度（误差不超过最大元素的 {exact:.1e}）。在一个批量上，同一单元的 dz "
        f"之和是 0（误差不超过 {total:.1e}），dz xhat 之和也是 0（误差不超过 {along:.1e}，"
        "来自 eps）。",
        f"三项之和不是精确梯度（相差 {exact:.1e}），或者 dz 之和不是 0（{total:.1e}），"
        f"或者 dz xhat 之和不是 0（{along:.1e}）。",
    )


def _cancels(n: Numbers) -> Claim:
    out, ratio = n["scaled/out"], n["scaled/gradient"]
    return claim(
        out < 1e-3 and abs(ratio - 1) < 1e-3,
        f"The scale of z cancels: with z {SCALE:g} times as large, out changes by {out:.1e} of its "
        f"largest entry, and dz is {SCALE:g} times as small ({ratio:.4f} of that).",
        f"The scale of z does NOT cancel: with z {SCALE:g} times as large, out changes by "
        f"{out:.1e}, and dz is {ratio:.4f} of 1/{SCALE:g}.",
        f"z 的大小会被约掉：z 放大 {SCALE:g} 倍，out 只变化最大元素的 {out:.1e}，而 dz 缩小到 "
        f"1/{SCALE:g}（与它之比是 {ratio:.4f}）。",
        f"z 的大小没有被约掉：z 放大 {SCALE:g} 倍，out 变化 {out:.1e}，dz 与 1/{SCALE:g} 之比是 "
        f"{ratio:.4f}。",
    )


def _bias(n: Numbers) -> Claim:
    db, size = worst(n, "db"), min(n[f"dz/{s}"] for s in SIDES)
    return claim(
        db < 1e-12 * size,
        "A bias right before batch norm cannot learn: its gradient db is rounding alone, at most "
        f"{db:.1e} on either side.",
        f"The gradient of a bias before batch norm is NOT 0: it is {db:.1e}.",
        f"紧接在批归一化之前的偏置学不到东西：它的梯度 db 只有舍入误差，两边都不超过 {db:.1e}。",
        f"批归一化之前的偏置，梯度不是 0，而是 {db:.1e}。",
    )


def _given(seed: int) -> Tensors:
    rng = np.random.default_rng([seed, 7])
    return {
        "x": rng.normal(1.0, 2.0, (M, N_IN)),
        "W": rng.standard_normal((N, N_IN)),
        "b": rng.standard_normal(N),
        "running_mean": rng.standard_normal(N),
        "running_var": rng.uniform(0.5, 2.0, N),
        "weight": rng.uniform(0.5, 1.5, N),
        "bias": rng.standard_normal(N),
    }


def _scaled(given: Mapping[str, np.ndarray], z: np.ndarray, dout: np.ndarray) -> dict[str, float]:
    """What out and dz become when z is SCALE times as large."""
    state = [given[n] for n in (*STATE, "weight")]
    plain, large = (
        manual.batch_norm_backward(dout, k * z, *state, training=True, eps=EPS)[0]
        for k in (1.0, SCALE)
    )
    outs = [normalized(given, "manual", k * z, training=True) for k in (1.0, SCALE)]
    ratio = np.linalg.norm(large) * SCALE / np.linalg.norm(plain)
    return {"scaled/out": gap(*outs), "scaled/gradient": float(ratio)}


def _terms(at: Mapping[str, np.ndarray], both: Both, exact: np.ndarray) -> Table:
    """What each term of dz adds."""
    t = both.manual
    std = np.sqrt(t["z"].var(axis=0) + EPS)
    xhat, scale = (t["z"] - t["z"].mean(axis=0)) / std, at["weight"] / std
    alone = scale * at["dout"]
    through_mean = alone - scale * t["dbias"] / M
    steps = {
        "weight/std dout": alone,
        "and - dbias/m, through the mean": through_mean,
        "and - xhat dweight/m, through the variance": through_mean
        - scale * xhat * t["dweight"] / M,
        "batch_norm_backward, manual": t["dz"],
        "autograd, torch": both.torch["dz"],
    }
    rows = tuple(
        (name, f"{dz.flat[0]:.10f}", f"{gap(dz, exact):.1e}") for name, dz in steps.items()
    )
    title = "dz, term by term: the first entry, and the greatest difference from the exact gradient"
    zh = {
        title: "dz 的各项：第一个元素，以及与精确梯度的最大差距",
        "and - dbias/m, through the mean": "再加上 - dbias/m，即经过均值的一项",
        "and - xhat dweight/m, through the variance": "再加上 - xhat dweight/m，即经过方差的一项",
        "first entry": "第一个元素",
        "difference": "差距",
    }
    return Table(title, ("dz", "first entry", "difference"), rows, zh)


ZH = "批归一化：让每个单元在一个批量上均值为 0、标准差为 1。"
LESSON = Lesson("batch-norm", (), __doc__, measure, conclude, ZH)
