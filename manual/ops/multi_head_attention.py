"""Multi-head attention: queries, keys and values are projected, cut into heads that attend each by
itself, and what the heads found is put side by side and projected once more.

Source: Vaswani et al. 2017, section 3.2.2; torch.nn.MultiheadAttention(batch_first=True), whose
in_proj_weight holds the three projections one below the other.
"""

import numpy as np

from torch_parity.manual.heads import (
    merge_heads,
    projected_heads,
    projected_heads_backward,
    seen_keys,
    split_heads,
)
from torch_parity.manual.ops.linear import linear_backward_parameters
from torch_parity.manual.ops.scaled_dot_product_attention import (
    scaled_dot_product_attention,
    scaled_dot_product_attention_backward,
)
from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_shape


@operation
def multi_head_attention(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    in_proj_weight: np.ndarray,
    in_proj_bias: np.ndarray,
    out_proj_weight: np.ndarray,
    out_proj_bias: np.ndarray,
    *key_padding_mask: np.ndarray,
    num_heads: int,
    is_causal: bool = False,
) -> np.ndarray:
    """out = heads(attention(q, k, v)) @ W_out.T + b_out,  q = query @ W_q.T + b_q, k and v alike

    # [m, t, n], [m, s, n], [m, s, n], [3n, n], [3n], [n, n], [n] -> [m, t, n]

    key_padding_mask is none, or one of booleans [m, s]: True where a key is padding, which no query
    sees. That is torch's word here, and the opposite of scaled_dot_product_attention's mask.

    Raises:
        ValueError: num_heads does not divide n, or a parameter has another shape.
    """
    _require(query, in_proj_weight, in_proj_bias, num_heads)
    heads = projected_heads((query, key, value), in_proj_weight, in_proj_bias, num_heads)
    seen = seen_keys(key_padding_mask)
    merged = merge_heads(scaled_dot_product_attention(*heads, *seen, is_causal=is_causal))
    return merged @ out_proj_weight.T + out_proj_bias


def multi_head_attention_backward(
    dout: np.ndarray,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    in_proj_weight: np.ndarray,
    in_proj_bias: np.ndarray,
    out_proj_weight: np.ndarray,
    *key_padding_mask: np.ndarray,
    num_heads: int,
    is_causal: bool = False,
) -> tuple[np.ndarray, ...]:
    """The linear layer's backward for each projection, around the backward of attention."""
    inputs = query, key, value
    heads = projected_heads(inputs, in_proj_weight, in_proj_bias, num_heads)
    seen = seen_keys(key_padding_mask)
    merged = merge_heads(scaled_dot_product_attention(*heads, *seen, is_causal=is_causal))
    dheads = scaled_dot_product_attention_backward(
        split_heads(dout @ out_proj_weight, num_heads), *heads, *seen, is_causal=is_causal
    )
    return *projected_heads_backward(dheads, inputs, in_proj_weight), *linear_backward_parameters(
        dout, merged
    )


def _require(query: np.ndarray, weight: np.ndarray, bias: np.ndarray, num_heads: int) -> None:
    n = query.shape[-1]
    if query.ndim != 3 or n % num_heads:
        raise ValueError(
            f"multi_head_attention: query has shape {query.shape}, expected (m, t, n) with an n "
            f"that num_heads={num_heads} divides"
        )
    require_shape("multi_head_attention", "in_proj_weight", weight, (3 * n, n))
    require_shape("multi_head_attention", "in_proj_bias", bias, (3 * n,))
