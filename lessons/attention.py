"""Attention: a mean of the values, weighted by how well their keys fit the query.

  q = x @ Wq.T + bq,  k = x @ Wk.T + bk,  v = x @ Wv.T + bv
  s = q @ k.T / sqrt(d)          t positions: x (t, n), q, k, v (t, d), s (t, t)
  a = softmax of s over the keys; with a causal mask position i sees 0..i alone
  out = a @ v

  backward  dv = a.T @ dout                 da = dout @ v.T
            ds = a (da - sum over the keys of da a)
            dq = ds @ k / sqrt(d)           dk = ds.T @ q / sqrt(d)
            dx = dq @ Wq + dk @ Wk + dv @ Wv, because x is read three times

sqrt(d) keeps the scores at the size of one number, whatever d is. Without it
the softmax of many dimensions gives nearly all weight to one key, and passes on
nearly no gradient. Without positions, attention does not know any order.

Source: Vaswani et al. 2017, "Attention is all you need"; course 5 week 4,
"self-attention".
"""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from torch_parity import manual
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.compare.register import OPERATIONS
from torch_parity.compare.sources.recorded import Both
from torch_parity.compare.tensors import to_torch
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
from torch_parity.lessons.pictures import panels
from torch_parity.manual.models.step import Tensors

T, N_IN, D = 6, 5, 4
PROJECTIONS = ("q", "k", "v")
WIDTHS = (4, 64, 512)
PLANTED = tuple(
    CATALOGUE[name]
    for name in (
        "attention_scale_missing",
        "causal_mask_missing",
        "causal_mask_off_by_one",
        "query_and_key_swapped",
        "attention_gradient_without_sum",
        "attention_gradient_without_scale",
    )
)


def forward(at: Mapping[str, np.ndarray]) -> Tensors:
    """Three linear layers of the same x, then causal attention."""
    t = {p: manual.linear(at["x"], at[f"W{p}"], at[f"b{p}"]) for p in PROJECTIONS}
    t["out"] = manual.scaled_dot_product_attention(t["q"], t["k"], t["v"], is_causal=True)
    return t


def backward(at: Mapping[str, np.ndarray], t: Mapping[str, np.ndarray]) -> Tensors:
    """One line a derivative. s are the scores, a the weights."""
    scale = t["q"].shape[1] ** -0.5
    a = weights(t["q"], t["k"])
    g = {"dv": a.T @ at["dout"]}
    da = at["dout"] @ t["v"].T
    ds = a * (da - (da * a).sum(axis=1, keepdims=True))
    g["dq"] = ds @ t["k"] * scale
    g["dk"] = ds.T @ t["q"] * scale
    g["dx"] = np.zeros_like(at["x"])
    for p in PROJECTIONS:
        share, g[f"dW{p}"], g[f"db{p}"] = manual.linear_backward(g[f"d{p}"], at["x"], at[f"W{p}"])
        g["dx"] += share
    return g


def weights(q: np.ndarray, k: np.ndarray) -> np.ndarray:
    """a: a softmax over the keys that a position may see            # [t, d], [t, d] -> [t, t]"""
    scores = q @ k.T / np.sqrt(q.shape[1])
    seen = np.tri(len(q), dtype=bool)
    return manual.softmax(np.where(seen, scores, -np.inf), dim=1)


def torch_forward(at: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same in torch."""
    t = {p: F.linear(at["x"], at[f"W{p}"], at[f"b{p}"]) for p in PROJECTIONS}
    t["out"] = F.scaled_dot_product_attention(t["q"], t["k"], t["v"], is_causal=True)
    return t


def measure(seed: int) -> Measured:
    """One head on both sides, the mask, the scale, the order of positions, and mistakes."""
    given, dout = _given(seed)
    start = {**given, "dout": dout}
    by_hand = forward(given)
    by_hand |= backward(start, by_hand)
    by_torch = in_torch(torch_forward, given, dout, constants=())
    both = Both(law(forward, given), start, by_hand, by_torch)
    asked = ("x", *(f"W{p}" for p in PROJECTIONS))
    exact = {f"d{n}": exact_gradient(forward, given, dout, n) for n in asked}
    numbers = compared(by_hand, by_torch, start, both.nodes)
    for side in SIDES:
        t = both.trace(side)
        numbers |= {
            f"exact/{side}": max(gap(t[n], exact[n]) for n in exact),
            f"later/{side}": _later(side, t),
            f"order/{side}": _order(seed, side, t),
            f"dbk/{side}": float(np.abs(t["dbk"]).max()),
            f"dbq/{side}": float(np.abs(t["dbq"]).max()),
        }
        for d in WIDTHS:
            numbers |= _scaled(seed, side, d)
    planted, mistakes = plant_in(both, PLANTED)
    tables = (_scales(numbers), mistakes)
    return Measured(numbers | planted, tables, {"weights": _draw(by_hand, by_torch)})


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """The gradient, the mask, the scale, the order, the bias of the keys, mistakes."""
    return (
        *(_exact(n), _causal(n), _scale(n), _unordered(n), _key_bias(n)),
        all_named(n, PLANTED),
    )


def _exact(n: Numbers) -> Claim:
    gap = worst(n, "exact")
    return claim(
        gap < 1e-12,
        f"The backward lines give the exact gradient: dx and the gradients of the three weights "
        f"differ from it by at most {gap:.1e} of their largest entry.",
        f"The backward lines do NOT give the exact gradient: they differ by {gap:.1e}.",
        f"反向传播的各行给出精确梯度：dx 和三个权重的梯度与它相差都不超过最大元素的 {gap:.1e}。",
        f"反向传播的各行给出的不是精确梯度：相差 {gap:.1e}。",
    )


def _causal(n: Numbers) -> Claim:
    moved = worst(n, "later")
    return claim(
        moved == 0,
        f"With the causal mask no position sees a later one: if the last position changes, the "
        f"others move by {moved:g}.",
        f"The causal mask does NOT hide later positions: the others move by {moved:.1e}.",
        f"有因果掩码时，任何位置都看不到后面的位置：改动最后一个位置，其余位置变化 {moved:g}。",
        f"因果掩码没有遮住后面的位置：其余位置变化 {moved:.1e}。",
    )


def _scale(n: Numbers) -> Claim:
    wide = WIDTHS[-1]
    scaled, plain = ([n[f"{what}/{wide}/{s}"] for s in SIDES] for what in ("scaled", "plain"))
    kept, lost = ([n[f"{w} gradient/{wide}/{s}"] for s in SIDES] for w in ("scaled", "plain"))
    found = (
        f"with d = {wide} the largest weight of a query is {plain[0]:.2f} on average without it "
        f"and {scaled[0]:.2f} with it, and ds is typically {lost[0]:.1e} and {kept[0]:.1e} of da"
    )
    found_zh = (
        f"d = {wide} 时，每个查询的最大权重平均是 {plain[0]:.2f}（不除）和 {scaled[0]:.2f}（除），"
        f"ds 与 da 的大小之比一般是 {lost[0]:.1e} 和 {kept[0]:.1e}"
    )
    return claim(
        min(plain) > 0.75 > 0.5 > max(scaled) and max(lost) < 0.1 * min(kept),
        f"Dividing by sqrt(d) keeps the softmax soft: {found}.",
        f"Dividing by sqrt(d) did NOT keep the softmax soft: {found}.",
        f"除以 sqrt(d) 使 softmax 不至于过尖：{found_zh}。",
        f"除以 sqrt(d) 没有使 softmax 变缓：{found_zh}。",
    )


def _unordered(n: Numbers) -> Claim:
    gap = worst(n, "order")
    return claim(
        gap < 1e-12,
        f"Without a mask and without positions attention knows no order: shuffled positions give "
        f"the shuffled result, up to {gap:.1e}.",
        f"Shuffled positions do NOT give the shuffled result: it differs by {gap:.1e}.",
        f"没有掩码、也没有位置编码时，注意力不知道顺序：打乱位置，结果也只是同样地打乱，误差不超过 "
        f"{gap:.1e}。",
        f"打乱位置之后，得到的不是同样打乱的结果：相差 {gap:.1e}。",
    )


def _key_bias(n: Numbers) -> Claim:
    key, query = worst(n, "dbk"), min(n[f"dbq/{s}"] for s in SIDES)
    return claim(
        key < 1e-12 * query,
        "A bias of the keys changes nothing, because it adds the same number to all scores of a "
        f"query: its gradient is rounding alone, at most {key:.1e} (that of the queries' bias is "
        f"{query:.1e}).",
        f"The gradient of the keys' bias is NOT 0: it is {key:.1e}, that of the queries' bias "
        f"{query:.1e}.",
        f"键的偏置不起作用，因为它给一个查询的所有分数加上同一个数：它的梯度只有舍入误差，不超过 "
        f"{key:.1e}（查询的偏置的梯度是 {query:.1e}）。",
        f"键的偏置的梯度不是 0，而是 {key:.1e}；查询的偏置的梯度是 {query:.1e}。",
    )


def _given(seed: int) -> tuple[Tensors, np.ndarray]:
    rng = np.random.default_rng([seed, 15])
    given = {"x": rng.standard_normal((T, N_IN))}
    for p in PROJECTIONS:
        given |= {f"W{p}": rng.standard_normal((D, N_IN)), f"b{p}": rng.standard_normal(D)}
    return given, rng.standard_normal((T, D))


def _attended(side: Side, qkv: list[np.ndarray], causal: bool) -> np.ndarray:
    """out alone."""
    row = OPERATIONS["scaled_dot_product_attention"]
    if side == "manual":
        return row.forward(*qkv, is_causal=causal)
    out: Tensor = row.twin(is_causal=causal)(*(to_torch(x) for x in qkv))
    return out.numpy()


def _later(side: Side, t: Mapping[str, np.ndarray]) -> float:
    """How far the first positions move when the last one changes."""
    qkv = [t[p] for p in PROJECTIONS]
    other = [np.concatenate([x[:-1], x[-1:] + 1]) for x in qkv]
    before, after = (_attended(side, tensors, causal=True)[:-1] for tensors in (qkv, other))
    return float(np.abs(after - before).max())


def _order(seed: int, side: Side, t: Mapping[str, np.ndarray]) -> float:
    """How far the result of shuffled positions is from the shuffled result."""
    shuffled = np.random.default_rng([seed, 16]).permutation(T)
    qkv = [t[p] for p in PROJECTIONS]
    of_shuffled = _attended(side, [x[shuffled] for x in qkv], causal=False)
    return gap(of_shuffled, _attended(side, qkv, causal=False)[shuffled])


def _scaled(seed: int, side: Side, d: int) -> dict[str, float]:
    """With and without 1/sqrt(d): the mean of the largest weights of all queries, and the median of
    the share of da that the softmax passes on as ds."""
    rng = np.random.default_rng([seed, 17])
    q, k, da = rng.standard_normal((32, d)), rng.standard_normal((32, d)), rng.normal(size=(32, 32))
    numbers = {}
    for name, factor in (("scaled", d**-0.5), ("plain", 1.0)):
        if side == "manual":
            a = manual.softmax(q @ k.T * factor, dim=1)
            ds = manual.softmax_backward(da, q @ k.T * factor, dim=1)
        else:
            s = to_torch(q @ k.T * factor).requires_grad_()
            soft = torch.softmax(s, 1)
            soft.backward(to_torch(da))  # type: ignore[no-untyped-call]
            assert s.grad is not None, "backward has just been called"
            a, ds = soft.detach().numpy(), s.grad.numpy()
        numbers[f"{name}/{d}/{side}"] = float(a.max(axis=1).mean())
        passed_on = np.linalg.norm(ds, axis=1) / np.linalg.norm(da, axis=1)
        numbers[f"{name} gradient/{d}/{side}"] = float(np.median(passed_on))
    return numbers


def _scales(n: Numbers) -> Table:
    title = "32 random queries and keys of d numbers, with and without 1/sqrt(d)"
    rows = tuple(
        (
            str(d),
            side,
            *(f"{n[f'{name}/{d}/{side}']:.3f}" for name in ("scaled", "plain")),
            *(f"{n[f'{name} gradient/{d}/{side}']:.1e}" for name in ("scaled", "plain")),
        )
        for d in WIDTHS
        for side in SIDES
    )
    zh = {
        title: "32 个随机的查询和键，各有 d 个数，除以和不除以 sqrt(d)",
        "largest weight": "最大权重",
        "without": "不除",
        "ds over da": "ds 与 da 之比",
    }
    columns = ("d", "side", "largest weight", "without", "ds over da", "without")
    return Table(title, columns, rows, zh)


def _draw(*traces: Tensors) -> Figure:
    """The weights: a row for each query, a column for each key."""
    figure, axes = panels(1, len(SIDES), width=3)
    for ax, side, t in zip(axes, SIDES, traces, strict=True):
        ax.imshow(weights(t["q"], t["k"]), cmap="Blues", vmin=0, vmax=1)
        ax.set(title=side, xlabel="key", ylabel="query")
    return figure


ZH = "注意力：每个位置对各个值取加权平均，权重取决于查询与键是否相配。"
LESSON = Lesson("attention", (), __doc__, measure, conclude, ZH)
