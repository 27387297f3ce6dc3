"""Attention as torch's fused kernel on the CPU computes it: second formulas of the register's rows.

It goes through the keys in blocks, with exponentials that are good to 20 units, and rescales what
it has by e^(old maximum - new one); its backward takes sum(dout out) where sum_s da a stands.
"""

from typing import Any

import numpy as np

from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.rules import size_of
from torch_parity.manual import heads
from torch_parity.manual.ops.linear import linear_backward_parameters

EXP_UNITS = 20
KEYS_A_BLOCK = 128


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    *attn_mask: Any,
    is_causal: bool = False,
    scale: float | None = None,
) -> Any:
    """out = (e @ value) / sum(e),  e = e^(scores - the largest)"""
    e, total = _exponentials(query, key, attn_mask, is_causal, scale)
    return (e @ value) / total


def scaled_dot_product_attention_backward(
    dout: Any,
    query: Any,
    key: Any,
    value: Any,
    *attn_mask: Any,
    is_causal: bool = False,
    scale: float | None = None,
) -> Any:
    """With a the weights:  ds = a (dout @ value.T - sum(dout out)) scale"""
    e, total = _exponentials(query, key, attn_mask, is_causal, scale)
    a, out = e / total, (e @ value) / total
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    ds = a * (dout @ value.mT - (dout * out).sum(axis=-1, keepdims=True)) * factor
    return ds @ key, ds.mT @ query, a.mT @ dout


def multi_head_attention(
    query: Any,
    key: Any,
    value: Any,
    in_proj_weight: Any,
    in_proj_bias: Any,
    out_proj_weight: Any,
    out_proj_bias: Any,
    *key_padding_mask: Any,
    num_heads: int,
    is_causal: bool = False,
) -> Any:
    """The projections, around the kernel"""
    of_heads = heads.projected_heads((query, key, value), in_proj_weight, in_proj_bias, num_heads)
    seen = heads.seen_keys(key_padding_mask)
    out = scaled_dot_product_attention(*of_heads, *seen, is_causal=is_causal)
    return heads.merge_heads(out) @ out_proj_weight.T + out_proj_bias


def multi_head_attention_backward(
    dout: Any,
    query: Any,
    key: Any,
    value: Any,
    in_proj_weight: Any,
    in_proj_bias: Any,
    out_proj_weight: Any,
    *key_padding_mask: Any,
    num_heads: int,
    is_causal: bool = False,
) -> Any:
    """The projections' backward, around the kernel's"""
    inputs = query, key, value
    of_heads = heads.projected_heads(inputs, in_proj_weight, in_proj_bias, num_heads)
    seen = heads.seen_keys(key_padding_mask)
    out = scaled_dot_product_attention(*of_heads, *seen, is_causal=is_causal)
    dheads = scaled_dot_product_attention_backward(
        heads.split_heads(dout @ out_proj_weight, num_heads), *of_heads, *seen, is_causal=is_causal
    )
    return (
        *heads.projected_heads_backward(dheads, inputs, in_proj_weight),
        *linear_backward_parameters(dout, heads.merge_heads(out)),
    )


def _exponentials(
    query: Any, key: Any, attn_mask: tuple[Any, ...], is_causal: bool, scale: float | None
) -> tuple[Any, Any]:
    """e^(scores - the largest), 0 for what a query may not see, and their sums.

    The plain kernel multiplies queries and keys by the root of the scale each.
    """
    root = (query.shape[-1] ** -0.5 if scale is None else abs(scale)) ** 0.5
    sign = -1 if scale is not None and scale < 0 else 1
    scores = (query * (sign * root)) @ (key * root).mT
    for mask in (*attn_mask, *([np.tri(*scores.shape[-2:]) == 1] if is_causal else [])):
        scores = np.where(mask, scores, -np.inf)
    most = scores.max(axis=-1, keepdims=True)
    e = np.exp(scores - np.where(most == -np.inf, 0.0, most))
    if isinstance(e, Bounded):
        units = EXP_UNITS + 4 * np.ceil(e.shape[-1] / KEYS_A_BLOCK)
        e = e.like(e.value, e.error + units * e.inner_u * size_of(e.value))
    total = e.sum(axis=-1, keepdims=True)
    return e, np.where(total == 0, 1.0, total)
