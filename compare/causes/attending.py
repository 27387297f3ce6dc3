"""Attention as a mistake computes it: alone, and within the heads of multi-head attention.

The formulas run on NumPy's arrays, torch's tensors and Bounded alike. A forward is given queries,
keys, values and masks; its backward the gradient of what it made before them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from torch_parity.compare.causes.cause import Change, Effect, Evidence, Where, one
from torch_parity.compare.flow.functions import split
from torch_parity.compare.flow.nodes import Node

SDPA, MHA = "scaled_dot_product_attention", "multi_head_attention"
Formula = Callable[..., Any]


@dataclass(frozen=True)
class Attention:
    """attend(f, query, key, value, *masks, is_causal, scale) and its backward, and how the heads
    around it are made: split or merged by a reshape alone; order tells which rows of the weight
    project queries, keys and values."""

    attend: Formula
    backward: Formula
    split: Literal["right", "reshaped"] = "right"
    merge: Literal["right", "reshaped"] = "right"
    order: Callable[[int, int], Sequence[int]] | None = None


def right(f: Any, *inputs: Any, **options: Any) -> Any:
    """The attention itself"""
    return f[SDPA](*inputs, **options)


def right_backward(f: Any, *inputs: Any, **options: Any) -> Any:
    """Its backward"""
    return f[f"{SDPA}_backward"](*inputs, **options)


def scores_of(f: Any, q: Any, k: Any, scale: float | None) -> Any:
    """q @ k.T * scale"""
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    return f["matmul"](q, transposed(f, k)) * factor


def transposed(f: Any, x: Any) -> Any:
    """Its last two axes"""
    axes = range(x.ndim)
    return f["permute"](x, dims=(*axes[:-2], axes[-1], axes[-2]))


def triangle(f: Any, scores: Any, diagonal: int = 0) -> Any:
    """True where query i sees the keys 0...i + diagonal"""
    t, s = scores.shape[-2:]
    return f["like"](np.tri(t, s, diagonal), scores) == 1


def seen_by(f: Any, scores: Any, masks: Sequence[Any], is_causal: bool) -> Any:
    """True where a query may see a key, or nothing where it may see all"""
    seen = [*masks, *([triangle(f, scores)] if is_causal else [])]
    return None if not seen else seen[0] if len(seen) == 1 else seen[0] & seen[1]


# --- multi-head attention around it -------------------------------------------------------------


def _split(f: Any, x: Any, num_heads: int, how: str) -> Any:
    m, t, n = x.shape
    if how == "reshaped":
        return f["reshape"](x, shape=(m, num_heads, t, n // num_heads))
    cut = f["reshape"](x, shape=(m, t, num_heads, n // num_heads))
    return f["permute"](cut, dims=(0, 2, 1, 3))


def _merge(f: Any, x: Any, how: str) -> Any:
    m, num_heads, t, n = x.shape
    joined = x if how == "reshaped" else f["permute"](x, dims=(0, 2, 1, 3))
    return f["reshape"](joined, shape=(m, t, num_heads * n))


def _parameters(f: Any, dz: Any, x: Any) -> tuple[Any, Any]:
    rows, of = (f["reshape"](a, shape=(-1, a.shape[-1])) for a in (dz, x))
    return f["matmul"](transposed(f, rows), of), f["sum"](rows, dim=0, keepdim=False)


def _heads(
    f: Any, with_: Attention, inputs: Sequence[Any], weight: Any, bias: Any, num_heads: int
) -> list[Any]:
    n = inputs[0].shape[-1]
    made = []
    for i, x in enumerate(inputs):
        W, b = weight[i * n : (i + 1) * n], bias[i * n : (i + 1) * n]
        made.append(_split(f, f["matmul"](x, transposed(f, W)) + b, num_heads, with_.split))
    return made


def _ordered(with_: Attention, n: int, num_heads: int) -> list[int]:
    return list(range(3 * n) if with_.order is None else with_.order(n, num_heads))


def heads_formula(with_: Attention) -> Formula:
    """The forward of multi-head attention, with this attention"""

    def formula(
        f: Any, q: Any, k: Any, v: Any, W: Any, b: Any, W_out: Any, b_out: Any, *padding: Any,
        num_heads: int, is_causal: bool,
    ) -> Any:  # fmt: skip
        rows = _ordered(with_, q.shape[-1], num_heads)
        heads = _heads(f, with_, (q, k, v), W[rows], b[rows], num_heads)
        masks = [~p[:, None, None, :] for p in padding]
        out = with_.attend(f, *heads, *masks, is_causal=is_causal, scale=None)
        return f["matmul"](_merge(f, out, with_.merge), transposed(f, W_out)) + b_out

    return formula


def heads_formula_backward(with_: Attention) -> Formula:
    """The backward of multi-head attention, with this attention"""

    def formula(
        f: Any, dout: Any, q: Any, k: Any, v: Any, W: Any, b: Any, W_out: Any, *padding: Any,
        num_heads: int, is_causal: bool,
    ) -> Any:  # fmt: skip
        n = q.shape[-1]
        rows = _ordered(with_, n, num_heads)
        back = np.argsort(rows).tolist()
        heads = _heads(f, with_, (q, k, v), W[rows], b[rows], num_heads)
        masks = [~p[:, None, None, :] for p in padding]
        options = {"is_causal": is_causal, "scale": None}
        merged = _merge(f, with_.attend(f, *heads, *masks, **options), with_.merge)
        dmerged = _split(f, f["matmul"](dout, W_out), num_heads, with_.merge)
        dheads = with_.backward(f, dmerged, *heads, *masks, **options)
        d = [_merge(f, dx, with_.split) for dx in dheads]
        parts = [W[rows][i * n : (i + 1) * n] for i in range(3)]
        dinputs = [f["matmul"](dx, part) for dx, part in zip(d, parts, strict=True)]
        made = [_parameters(f, dx, x) for dx, x in zip(d, (q, k, v), strict=True)]
        dW, db = (f["cat"](*of, dim=0)[back] for of in zip(*made, strict=True))
        return *dinputs, dW, db, *_parameters(f, dout, merged)

    return formula


# --- ways of a mistake ----------------------------------------------------------------------------


def is_attention(*names: str, backward: bool) -> Where:
    """These operations' forward or backward."""

    def where(node: Node, e: Evidence) -> bool:
        name, suffix = split(node.operation)
        return name in names and bool(suffix) == backward

    return where


def _change(with_: Attention, backward: bool) -> Change:
    def change(node: Node, e: Evidence) -> list[Node]:
        if split(node.operation)[0] == MHA:
            formula = (heads_formula_backward if backward else heads_formula)(with_)
        else:
            formula = with_.backward if backward else with_.attend
        return [replace(node, formula=formula)]

    return change


def in_forward(with_: Attention, *names: str) -> tuple[Effect, ...]:
    """The mistake in the forward of these operations, of both unless told otherwise"""
    return one(
        _change(with_, backward=False), is_attention(*(names or (SDPA, MHA)), backward=False)
    )


def in_backward(with_: Attention, *names: str) -> tuple[Effect, ...]:
    """The mistake in their backward"""
    return one(_change(with_, backward=True), is_attention(*(names or (SDPA, MHA)), backward=True))


def in_either(with_: Attention, *names: str) -> tuple[tuple[Effect, ...], ...]:
    """Both ways"""
    return in_forward(with_, *names), in_backward(with_, *names)


def called(change: Callable[..., tuple[Sequence[Any], dict[str, Any]]]) -> Attention:
    """The attention itself with other masks or options: change(f, query, key, masks, options)."""

    def attend(f: Any, q: Any, k: Any, v: Any, *masks: Any, **options: Any) -> Any:
        masks_, options_ = change(f, q, k, masks, options)
        return right(f, q, k, v, *masks_, **options_)

    def backward(f: Any, dout: Any, q: Any, k: Any, v: Any, *masks: Any, **options: Any) -> Any:
        masks_, options_ = change(f, q, k, masks, options)
        return right_backward(f, dout, q, k, v, *masks_, **options_)

    return Attention(attend, backward)
