"""Recurrent networks: one layer again and again, and gradients through time.

  h[t] = tanh(x[t] @ Wx.T + h[t-1] @ Wh.T + b)     x[t] (m, n_in), h (m, n)

  backward, from the last step to the first:
    dz[t]   = dh[t] * (1 - h[t]^2)
    dh[t-1] = dz[t] @ Wh  (+ what arrives at the output of step t-1)
    dWx, dWh, db = sums over all steps, because all steps share the weights

So the gradient of the first state is multiplied by Wh once for each step. If Wh
makes vectors shorter, the gradient vanishes; if it makes them longer, the
gradient explodes. Two remedies:

  clipping   g := g min(1, max_norm / |g|): the length is limited, the direction
             stays. It helps against exploding gradients only.
  LSTM       c[t] = f c[t-1] + i g,  h[t] = o tanh(c[t]): the gradient of the
             memory c is multiplied by the forget gate f, which can be near 1.

Source: course 5 week 1, "vanishing gradients with RNNs" and "LSTM"; Pascanu et
al. 2013; Hochreiter and Schmidhuber 1997.
"""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from torch_parity import manual
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.judge.judge import SIDES, Side
from torch_parity.compare.show.curves import STYLE
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
)
from torch_parity.lessons.mistakes import all_named, plant_alone
from torch_parity.lessons.pictures import panels
from torch_parity.lessons.through_time import FACTORS, FORGET, LONG, N, through_memory, through_time
from torch_parity.manual.models.step import Tensors

M, N_IN, STEPS = 3, 2, 5
WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
MAX_NORM = 1.0
PLANTED = tuple(
    CATALOGUE[name]
    for name in (
        "state_not_carried",
        "time_gradient_truncated",
        "time_gradients_not_summed",
        "memory_gradient_lost",
    )
)


def forward(at: Mapping[str, np.ndarray]) -> Tensors:
    """Step after step: h1, h2, ... from x1, x2, ... and h0, with the same weights."""
    t = {}
    h = at["h0"]
    for k in range(1, STEPS + 1):
        t[f"h{k}"] = h = manual.rnn_cell(at[f"x{k}"], h, *(at[w] for w in WEIGHTS))
    return t


def backward(at: Mapping[str, np.ndarray], t: Mapping[str, np.ndarray]) -> Tensors:
    """Back through time: the weights' gradients add up over the steps."""
    g = {f"d{w}": np.zeros_like(at[w]) for w in WEIGHTS}
    dh = at[f"dh{STEPS}"]
    for k in range(STEPS, 0, -1):
        before = t[f"h{k - 1}"] if k > 1 else at["h0"]
        dz = dh * (1 - t[f"h{k}"] ** 2)
        g["dweight_ih"] += dz.T @ at[f"x{k}"]
        g["dweight_hh"] += dz.T @ before
        g["dbias_ih"] += dz.sum(axis=0)
        g["dbias_hh"] += dz.sum(axis=0)
        g[f"dx{k}"] = dz @ at["weight_ih"]
        g[f"dh{k - 1}"] = dh = dz @ at["weight_hh"]
    return g


def torch_forward(at: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same loop in torch; nn.RNN does it in one call."""
    t, h = {}, at["h0"]
    for k in range(1, STEPS + 1):
        t[f"h{k}"] = h = torch.rnn_tanh_cell(at[f"x{k}"], h, *(at[w] for w in WEIGHTS))
    return t


def measure(seed: int) -> Measured:
    """Five steps on both sides, gradients over many steps, clipping, an LSTM, and mistakes."""
    given, upstream = _given(seed)
    start = {**given, f"dh{STEPS}": upstream}
    by_hand = forward(given)
    by_hand |= backward(start, by_hand)
    by_torch = in_torch(torch_forward, given, upstream, constants=())
    both = Both(law(forward, given), start, by_hand, by_torch)
    exact = {f"d{n}": exact_gradient(forward, given, upstream, n) for n in ("h0", *WEIGHTS)}
    numbers = compared(by_hand, by_torch, start, both.nodes)
    lengths: dict[tuple[str, Side], list[float]] = {}
    for side in SIDES:
        t = both.trace(side)
        numbers[f"exact/{side}"] = max(gap(t[n], exact[n]) for n in exact)
        for factor in FACTORS:
            lengths[f"{factor:g}", side] = through_time(seed, side, factor)
        for name, bias in FORGET.items():
            lengths[name, side] = through_memory(seed, side, bias)
        numbers |= _clipped(seed, side)
    numbers |= {f"length/{name}/{side}": found[-1] for (name, side), found in lengths.items()}
    planted, mistakes = plant_alone(PLANTED)
    tables = (_lengths(lengths), _clipping(numbers), mistakes)
    return Measured(numbers | planted, tables, {"lengths": _draw(lengths)})


def conclude(n: Numbers) -> tuple[Claim, ...]:
    """The gradient, vanishing and exploding, clipping, the memory, mistakes."""
    return _exact(n), _powers(n), _clips(n), _keeps(n), all_named(n, PLANTED)


def _exact(n: Numbers) -> Claim:
    gap = max(n[f"exact/{s}"] for s in SIDES)
    return claim(
        gap < 1e-12,
        f"The sums over {STEPS} steps are the exact gradients of the shared weights: on both sides "
        f"the difference is at most {gap:.1e} of the largest entry.",
        f"The sums over {STEPS} steps are NOT the exact gradients: they differ by {gap:.1e}.",
        f"对 {STEPS} 步求和，得到的就是共用权重的精确梯度：两边的误差都不超过最大元素的 "
        f"{gap:.1e}。",
        f"对 {STEPS} 步求和，得到的不是精确梯度：相差 {gap:.1e}。",
    )


def _powers(n: Numbers) -> Claim:
    found = {f: [n[f"length/{f:g}/{s}"] for s in SIDES] for f in FACTORS}
    off = max(abs(value / f**LONG - 1) for f, both in found.items() for value in both)
    told = ", ".join(f"{both[0]:.1e} for {f:g}" for f, both in found.items())
    told_zh = "，".join(f"{f:g} 倍时是 {both[0]:.1e}" for f, both in found.items())
    return claim(
        off < 0.01,
        f"A matrix that makes vectors longer by a factor makes the gradient longer by its power: "
        f"after {LONG} steps its length is {told}. It vanishes, stays, or explodes.",
        f"The length of the gradient is NOT the power of the factor: after {LONG} steps it is "
        f"{told}.",
        f"矩阵每次把向量放大几倍，梯度的长度就按这个倍数的幂变化：{LONG} 步之后，{told_zh}。"
        "三种情况分别是消失、不变和爆炸。",
        f"梯度的长度不是倍数的幂：{LONG} 步之后，{told_zh}。",
    )


def _clips(n: Numbers) -> Claim:
    before, after, turned = (
        [n[f"clip/{what}/{s}"] for s in SIDES] for what in ("before", "after", "turned")
    )
    return claim(
        max(after) <= MAX_NORM < min(before) and max(turned) < 1e-12,
        f"Clipping to {MAX_NORM:g} shortens the exploded gradient from {before[0]:.1e} to "
        f"{after[0]:.6f}, and does not turn it (by {max(turned):.1e}).",
        f"Clipping to {MAX_NORM:g} did NOT keep the length or the direction: from {before[0]:.1e} "
        f"to {after[0]:.6f}, turned by {max(turned):.1e}.",
        f"裁剪到 {MAX_NORM:g}，爆炸的梯度从 {before[0]:.1e} 缩短到 {after[0]:.6f}，方向不变（偏差 "
        f"{max(turned):.1e}）。",
        f"裁剪到 {MAX_NORM:g}，长度或方向不对：从 {before[0]:.1e} 变为 {after[0]:.6f}，方向偏差 "
        f"{max(turned):.1e}。",
    )


def _keeps(n: Numbers) -> Claim:
    kept, lost = ([n[f"length/{name}/{s}"] for s in SIDES] for name in ("keeps", "forgets"))
    return claim(
        min(kept) > 0.1 > 1e-6 > max(lost),
        f"The memory of an LSTM keeps its gradient if the forget gate is open: after {LONG} steps "
        f"{kept[0]:.2f} of it is left, but only {lost[0]:.1e} if the gate is half open.",
        f"An open forget gate did NOT keep the gradient: {kept[0]:.1e} is left after {LONG} steps, "
        f"{lost[0]:.1e} if the gate is half open.",
        f"遗忘门打开时，LSTM 的记忆能保住梯度：{LONG} 步之后还剩 {kept[0]:.2f}；遗忘门半开时只剩 "
        f"{lost[0]:.1e}。",
        f"遗忘门打开并没有保住梯度：{LONG} 步之后剩 {kept[0]:.1e}，遗忘门半开时剩 {lost[0]:.1e}。",
    )


def _given(seed: int) -> tuple[Tensors, np.ndarray]:
    rng = np.random.default_rng([seed, 11])
    given = {f"x{k}": rng.standard_normal((M, N_IN)) for k in range(1, STEPS + 1)}
    shapes = ((N, N_IN), (N, N), (N,), (N,))
    weights = {w: rng.normal(0, 0.5, shape) for w, shape in zip(WEIGHTS, shapes, strict=True)}
    return {**given, "h0": rng.standard_normal((M, N)), **weights}, rng.standard_normal((M, N))


def _clipped(seed: int, side: Side) -> dict[str, float]:
    """The length of exploded gradients before and after clipping, and how far they were turned."""
    rng = np.random.default_rng([seed, 14])
    long = {w: 1e4 * rng.standard_normal((N, N)) for w in WEIGHTS}
    if side == "manual":
        short, before = manual.clip_grad_norm(long, MAX_NORM)
    else:
        parameters = {w: nn.Parameter(torch.zeros(N, N, dtype=torch.float64)) for w in WEIGHTS}
        for w, p in parameters.items():
            p.grad = to_torch(long[w])
        before = nn.utils.clip_grad_norm_(parameters.values(), MAX_NORM).numpy()
        short = {w: p.grad.numpy() for w, p in parameters.items() if p.grad is not None}
    a, b = (np.concatenate([g.ravel() for g in gs.values()]) for gs in (long, short))
    turned = b / np.linalg.norm(b) - a / np.linalg.norm(a)
    return {
        f"clip/before/{side}": float(before),
        f"clip/after/{side}": float(np.linalg.norm(b)),
        f"clip/turned/{side}": float(np.abs(turned).max()),
    }


def _lengths(lengths: Mapping[tuple[str, Side], list[float]]) -> Table:
    title = "The length of the gradient, so many steps before the last"
    steps = (0, 1, 5, 10, 20, LONG)
    rows = tuple(
        (_called(name), side, *(f"{found[k]:.1e}" for k in steps))
        for (name, side), found in sorted(lengths.items())
    )
    zh = {
        title: "梯度的长度：最后一步之前的若干步",
        "network": "网络",
        **{_called(f"{f:g}"): f"RNN，放大 {f:g} 倍" for f in FACTORS},
        _called("keeps"): "LSTM，遗忘门打开",
        _called("forgets"): "LSTM，遗忘门半开",
    }
    return Table(title, ("network", "side", *map(str, steps)), rows, zh)


def _called(name: str) -> str:
    lstm = {
        "keeps": "LSTM with an open forget gate",
        "forgets": "LSTM with a half open forget gate",
    }
    return lstm.get(name) or f"RNN with factor {name}"


def _clipping(n: Numbers) -> Table:
    title = f"Gradients of four weights, clipped to a norm of {MAX_NORM:g}"
    rows = tuple(
        (side, *(f"{n[f'clip/{what}/{side}']:.6g}" for what in ("before", "after", "turned")))
        for side in SIDES
    )
    zh = {
        title: f"四个权重的梯度，裁剪到范数 {MAX_NORM:g}",
        "norm before": "裁剪前的范数",
        "norm after": "裁剪后的范数",
        "turned by": "方向偏差",
    }
    return Table(title, ("side", "norm before", "norm after", "turned by"), rows, zh)


def _draw(lengths: Mapping[tuple[str, Side], list[float]]) -> Figure:
    """The length of the gradient at every step, from the last to the first."""
    figure, axes = panels(1, 2, width=4.5, alike=True)
    for (name, side), found in lengths.items():
        ax = axes[name in FORGET]
        ax.semilogy(range(LONG + 1), found, **STYLE[side])
        if side == "torch":
            ax.annotate(name, (LONG, found[-1]), ha="right", va="bottom")
    for ax, title in zip(axes, ("RNN: dh, by the factor of Wh", "LSTM: dc"), strict=True):
        ax.set(title=title, xlabel="steps before the last")
    axes[0].set(ylabel="length of the gradient")
    return figure


ZH = "循环网络：同一层反复使用，梯度沿时间传回来。"
LESSON = Lesson("recurrent", (), __doc__, measure, conclude, ZH)
