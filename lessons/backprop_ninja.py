"""Backprop ninja: batch norm and cross-entropy, one elementary operation a line.

x (m, c) goes through batch norm into scores z (m, c), and these through softmax
and cross-entropy into one loss. No formula of the whole is used:

  mean = mean of x over m       top   = max of z over c
  centred = x - mean            below = z - top
  square  = centred^2           e     = exp(below)
  var  = mean of square         total = sum of e over c
  safe = var + eps              p     = e / total
  inv  = safe^(-1/2)            logp  = log(p)
  xhat = centred * inv          picked = logp * y,  each = sum over c
  scaled = xhat * weight        average = mean of each over m
  z    = scaled + bias          loss = average * minus     (minus is -1)

Each line is turned round by one rule. A tensor that was broadcast in the
forward pass gets a sum in the backward pass; one that is read twice gets the
sum of two shares. The known short formulas are the result:

  dz = (softmax(z) - y) / m
  dx = weight inv (dz - mean of dz - xhat * mean of dz xhat)

Source: Karpathy, "Becoming a Backprop Ninja"; course 2 week 3, "batch
normalization" and "softmax regression".
"""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from torch_parity import manual
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.judge.judge import SIDES
from torch_parity.compare.sources.recorded import Both
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
)
from torch_parity.lessons.mistakes import all_named, plant_in
from torch_parity.manual.models.step import Tensors

M, C = 6, 4
CONSTANTS = ("y", "eps", "minus")
PLANTED = tuple(
    CATALOGUE[name]
    for name in (
        "broadcast_gradient_not_summed",
        "mean_gradient_without_n",
        "gradient_share_missing",
        "gradient_share_twice",
    )
)
LINES = {
    "daverage": "dloss minus",
    "deach": "daverage / m",
    "dpicked": "deach, repeated over c",
    "dlogp": "dpicked y",
    "dp": "dlogp / p",
    "dtotal": "-sum over c of dp e / total^2",
    "de": "dp / total + dtotal",
    "dbelow": "de e",
    "dtop": "-sum over c of dbelow",
    "dz": "dbelow + dtop at the largest",
    "dbias": "sum over m of dz",
    "dscaled": "dz",
    "dweight": "sum over m of dscaled xhat",
    "dxhat": "dscaled weight",
    "dinv": "sum over m of dxhat centred",
    "dsafe": "dinv (-1/2) safe^(-3/2)",
    "dvar": "dsafe",
    "dsquare": "dvar / m",
    "dcentred": "dxhat inv + dsquare 2 centred",
    "dmean": "-sum over m of dcentred",
    "dx": "dcentred + dmean / m",
}


def forward(at: Mapping[str, np.ndarray]) -> Tensors:
    """From x to the loss, line by line."""
    t = {}
    t["mean"] = manual.mean(at["x"], dim=0)
    t["centred"] = manual.sub(at["x"], t["mean"])
    t["square"] = manual.pow(t["centred"], exponent=2.0)
    t["var"] = manual.mean(t["square"], dim=0)
    t["safe"] = manual.add(t["var"], at["eps"])
    t["inv"] = manual.pow(t["safe"], exponent=-0.5)
    t["xhat"] = manual.mul(t["centred"], t["inv"])
    t["scaled"] = manual.mul(t["xhat"], at["weight"])
    t["z"] = manual.add(t["scaled"], at["bias"])

    t["top"] = manual.amax(t["z"], dim=1, keepdim=True)
    t["below"] = manual.sub(t["z"], t["top"])
    t["e"] = manual.exp(t["below"])
    t["total"] = manual.sum(t["e"], dim=1, keepdim=True)
    t["p"] = manual.div(t["e"], t["total"])
    t["logp"] = manual.log(t["p"])
    t["picked"] = manual.mul(t["logp"], at["y"])
    t["each"] = manual.sum(t["picked"], dim=1)
    t["average"] = manual.mean(t["each"])
    t["loss"] = manual.mul(t["average"], at["minus"])
    return t


def backward(at: Mapping[str, np.ndarray], t: Mapping[str, np.ndarray]) -> Tensors:
    """From the loss back to x, one line a derivative. m samples, c classes."""
    m = len(at["x"])
    g = {}
    g["daverage"] = at["dloss"] * at["minus"]  # []
    g["deach"] = np.full(m, g["daverage"] / m)  # [m]
    g["dpicked"] = np.repeat(g["deach"][:, None], t["z"].shape[1], axis=1)  # [m, c]
    g["dlogp"] = g["dpicked"] * at["y"]
    g["dp"] = g["dlogp"] / t["p"]
    g["dtotal"] = -(g["dp"] * t["e"] / t["total"] ** 2).sum(axis=1, keepdims=True)  # [m, 1]
    g["de"] = g["dp"] / t["total"] + g["dtotal"]  # read twice
    g["dbelow"] = g["de"] * t["e"]
    g["dtop"] = -g["dbelow"].sum(axis=1, keepdims=True)  # [m, 1]
    g["dz"] = g["dbelow"] + g["dtop"] * (t["z"] == t["top"])  # read twice

    g["dbias"] = g["dz"].sum(axis=0)  # [c]
    g["dscaled"] = g["dz"].copy()
    g["dweight"] = (g["dscaled"] * t["xhat"]).sum(axis=0)  # [c]
    g["dxhat"] = g["dscaled"] * at["weight"]
    g["dinv"] = (g["dxhat"] * t["centred"]).sum(axis=0)  # [c]
    g["dsafe"] = g["dinv"] * -0.5 * t["safe"] ** -1.5
    g["dvar"] = g["dsafe"].copy()
    g["dsquare"] = np.repeat(g["dvar"][None] / m, m, axis=0)  # [m, c]
    g["dcentred"] = g["dxhat"] * t["inv"] + g["dsquare"] * 2 * t["centred"]  # read twice
    g["dmean"] = -g["dcentred"].sum(axis=0)  # [c]
    g["dx"] = g["dcentred"] + g["dmean"] / m  # read twice
    return g  # fmt: skip


def torch_forward(at: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same lines in torch; autograd turns them round."""
    t = {}
    t["mean"] = at["x"].mean(0)
    t["centred"] = at["x"] - t["mean"]
    t["square"] = t["centred"] ** 2
    t["var"] = t["square"].mean(0)
    t["safe"] = t["var"] + at["eps"]
    t["inv"] = t["safe"] ** -0.5
    t["xhat"] = t["centred"] * t["inv"]
    t["scaled"] = t["xhat"] * at["weight"]
    t["z"] = t["scaled"] + at["bias"]

    t["top"] = t["z"].amax(1, keepdim=True)
    t["below"] = t["z"] - t["top"]
    t["e"] = t["below"].exp()
    t["total"] = t["e"].sum(1, keepdim=True)
    t["p"] = t["e"] / t["total"]
    t["logp"] = t["p"].log()
    t["picked"] = t["logp"] * at["y"]
    t["each"] = t["picked"].sum(1)
    t["average"] = t["each"].mean()
    t["loss"] = t["average"] * at["minus"]
    return t


def measure(seed: int) -> Measured:
    """Every line on both sides, the exact gradients, the short formulas, and planted mistakes."""
    given = _given(seed)
    start = {**given, "dloss": np.array(1.0)}
    by_hand = forward(given)
    by_hand |= backward(start, by_hand)
    by_torch = in_torch(torch_forward, given, start["dloss"], CONSTANTS)
    both = Both(law(forward, given, CONSTANTS), start, by_hand, by_torch)
    inputs = ("x", "weight", "bias")
    exact = {f"d{n}": exact_gradient(forward, given, start["dloss"], n) for n in inputs}
    short = _short(given, by_hand)
    numbers = compared(by_hand, by_torch, start, both.nodes) | {"lines": len(LINES)}
    for side in SIDES:
        t = both.trace(side)
        numbers |= {
            f"exact/{side}": max(gap(t[n], exact[n]) for n in exact),
            f"short dz/{side}": gap(t["dz"], short["dz"]),
            f"short dx/{side}": gap(t["dx"], short["dx"]),
            f"dtop/{side}": float(np.abs(t["dtop"]).max()),
            f"dz/{side}": float(np.abs(t["dz"]).max()),
        }
    planted, mistakes = plant_in(both, PLANTED)
    return Measured(numbers | planted, (_lines(both), mistakes), {})


def _short(given: Mapping[str, np.ndarray], t: Mapping[str, np.ndarray]) -> Tensors:
    """dz and dx by the formulas of the whole."""
    m = len(given["x"])
    dz = (manual.softmax(t["z"]) - given["y"]) / m
    still = np.zeros(C)
    dx, _, _ = manual.batch_norm_backward(
        dz, given["x"], still, still, given["weight"], training=True, eps=float(given["eps"])
    )
    return {"dz": dz, "dx": dx}


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """Every line, the exact gradient, the short formulas, the gradient of the maximum, mistakes."""
    worst = {
        k: max(n[f"{k}/{s}"] for s in SIDES) for k in ("exact", "short dz", "short dx", "dtop")
    }
    size = min(n[f"dz/{s}"] for s in SIDES)
    return (
        claim(
            worst["exact"] <= 1e-12,
            f"{n['lines']:.0f} small rules give the exact gradient of the whole: dx, dweight and "
            f"dbias differ from it by at most {worst['exact']:.1e} of their largest entry.",
            f"The {n['lines']:.0f} rules do NOT give the exact gradient: it differs by "
            f"{worst['exact']:.1e} of the largest entry.",
            f"{n['lines']:.0f} 条小法则合起来就是整体的精确梯度：dx、dweight、dbias 与它相差都不"
            f"超过最大元素的 {worst['exact']:.1e}。",
            f"这 {n['lines']:.0f} 条法则给出的不是精确梯度：相差达到最大元素的 "
            f"{worst['exact']:.1e}。",
        ),
        claim(
            worst["short dz"] <= 1e-12,
            "The lines of cross-entropy shrink to one: dz equals (softmax(z) - y)/m up to "
            f"{worst['short dz']:.1e}.",
            f"dz is NOT (softmax(z) - y)/m: they differ by {worst['short dz']:.1e}.",
            f"交叉熵的各行可以合并成一行：dz 等于 (softmax(z) - y)/m，误差不超过 "
            f"{worst['short dz']:.1e}。",
            f"dz 不等于 (softmax(z) - y)/m：相差 {worst['short dz']:.1e}。",
        ),
        claim(
            worst["short dx"] <= 1e-12,
            "So do those of batch norm: dx equals the formula with three terms up to "
            f"{worst['short dx']:.1e}.",
            f"dx is NOT the formula with three terms: they differ by {worst['short dx']:.1e}.",
            f"批归一化也一样：dx 等于含三项的公式，误差不超过 {worst['short dx']:.1e}。",
            f"dx 不等于含三项的公式：相差 {worst['short dx']:.1e}。",
        ),
        claim(
            worst["dtop"] <= 1e-12 * size,
            "The maximum is subtracted only against overflow, and its gradient is rounding alone: "
            f"at most {worst['dtop']:.1e}.",
            f"The gradient of the maximum is NOT 0: it is {worst['dtop']:.1e}.",
            f"减去最大值只是为了防止溢出，它的梯度只剩舍入误差：不超过 {worst['dtop']:.1e}。",
            f"最大值的梯度不是 0，而是 {worst['dtop']:.1e}。",
        ),
        all_named(n, PLANTED),
    )


def _given(seed: int) -> Tensors:
    rng = np.random.default_rng([seed, 6])
    return {
        "x": rng.normal(1.0, 2.0, (M, C)),
        "weight": rng.uniform(0.5, 1.5, C),
        "bias": rng.standard_normal(C),
        "y": np.eye(C)[rng.integers(0, C, M)],
        "eps": np.array(1e-5),
        "minus": np.array(-1.0),
    }


def _lines(both: Both) -> Table:
    rows = tuple(
        (
            f"{line} = {formula}",
            str(both.manual[line].shape),
            *(f"{both.trace(s)[line].flat[0]:.10f}" for s in SIDES),
            f"{np.abs(both.manual[line] - both.torch[line]).max():.1e}",
        )
        for line, formula in LINES.items()
    )
    zh = {
        "Backward: the first entry of each tensor; the greatest difference of all its entries": (
            "反向：每个张量的第一个元素；差距取所有元素中最大的"
        ),
        "line": "公式",
        "shape": "形状",
        "difference": "差距",
    }
    return Table(next(iter(zh)), ("line", "shape", *SIDES, "difference"), rows, zh)


ZH = "反向传播高手（backprop ninja）：把批归一化和交叉熵拆成基本运算，一行一条法则。"
LESSON = Lesson("backprop-ninja", (), __doc__, measure, conclude, ZH)
