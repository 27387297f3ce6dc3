"""The fused layers that torch's transformer encoder takes in evaluation, without gradients."""

import math
from typing import Any

import torch
from torch.nn import functional as F

from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.tiers import judged_by
from torch_parity.compare.bounds.tensors.unbounded import Unbounded, Undetermined

# What a mask is of: pairs of places, or places that are padding.
PAIRS, PADDING = 0, 1


def _masked(scores: Any, mask: Any, mask_type: int | None) -> Any:
    if mask is None:
        return scores
    if mask.dtype != torch.bool or mask_type not in (PAIRS, PADDING):
        raise Unbounded("a fused attention layer with this kind of mask has no rounding bound")
    shape = mask.shape if mask_type == PAIRS else (mask.shape[0], 1, 1, mask.shape[1])
    return scores.masked_fill(mask.reshape(shape), -math.inf)


def self_attention(
    q: Any, k: Any, v: Any, heads: int, weight: Any, bias: Any, mask: Any, mask_type: int | None
) -> tuple[Any, Any]:
    """softmax(q k^T / sqrt(n)) v of each head, and the softmax"""
    width = q.shape[-1]
    weights, biases = weight.split(width), bias.split(width)
    parts = []
    for x, w, b in zip((q, k, v), weights, biases, strict=True):
        y = F.linear(x, w, b)
        parts.append(y.reshape(*y.shape[:2], heads, width // heads).transpose(1, 2))
    query, key, value = parts
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(width // heads)
    shares = _masked(scores, mask, mask_type).softmax(-1)
    made = torch.matmul(shares, value).transpose(1, 2)
    return made.reshape(*q.shape[:2], width), shares


@rule("_native_multi_head_attention")
def attention_layer(
    query: Any, key: Any, value: Any, embed_dim: int, num_head: int, qkv_weight: Any,
    qkv_bias: Any, proj_weight: Any, proj_bias: Any, mask: Any = None, need_weights: bool = True,
    average_attn_weights: bool = True, mask_type: int | None = None,
) -> Any:  # fmt: skip
    """Attention between its two linear layers, and its weights where they are asked for"""
    with judged_by(alone=False):
        made, shares = self_attention(
            query, key, value, num_head, qkv_weight, qkv_bias, mask, mask_type
        )
        out = F.linear(made, proj_weight, proj_bias)
        if not need_weights:
            return out, Undetermined()
        return out, shares.mean(1) if average_attn_weights else shares


@rule("_transformer_encoder_layer_fwd")
def encoder_layer(
    src: Any, embed_dim: int, num_heads: int, qkv_weight: Any, qkv_bias: Any, proj_weight: Any,
    proj_bias: Any, use_gelu: bool, norm_first: bool, eps: float, norm_weight_1: Any,
    norm_bias_1: Any, norm_weight_2: Any, norm_bias_2: Any, ffn_weight_1: Any, ffn_bias_1: Any,
    ffn_weight_2: Any, ffn_bias_2: Any, mask: Any = None, mask_type: int | None = None,
) -> Any:  # fmt: skip
    """x = norm(x + attention(x)), x = norm(x + w_2 act(w_1 x)); or each norm before its layer"""
    shape = (embed_dim,)

    def attend(x: Any) -> Any:
        made, _ = self_attention(x, x, x, num_heads, qkv_weight, qkv_bias, mask, mask_type)
        return F.linear(made, proj_weight, proj_bias)

    def feed(x: Any) -> Any:
        wide = F.linear(x, ffn_weight_1, ffn_bias_1)
        active = F.gelu(wide) if use_gelu else F.relu(wide)
        return F.linear(active, ffn_weight_2, ffn_bias_2)

    def first(x: Any) -> Any:
        return F.layer_norm(x, shape, norm_weight_1, norm_bias_1, eps)

    def second(x: Any) -> Any:
        return F.layer_norm(x, shape, norm_weight_2, norm_bias_2, eps)

    with judged_by(alone=False):
        if norm_first:
            x = src + attend(first(src))
            return x + feed(second(x))
        x = first(src + attend(src))
        return second(x + feed(x))
