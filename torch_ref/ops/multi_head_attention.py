"""Multi-head attention in torch; nn.MultiheadAttention keeps the weights and the biases."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def multi_head_attention(num_heads: int, is_causal: bool = False) -> Callable[..., Tensor]:
    """out = heads(attention(q, k, v)) @ W_out.T + b_out,  q = query @ W_q.T + b_q, k and v alike

    # [m, t, n], [m, s, n], [m, s, n], [3n, n], [3n], [n, n], [n] -> [m, t, n]
    """

    def attend(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        in_proj_weight: Tensor,
        in_proj_bias: Tensor,
        out_proj_weight: Tensor,
        out_proj_bias: Tensor,
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        module = nn.MultiheadAttention(query.shape[-1], num_heads, batch_first=True)
        parameters = {
            "in_proj_weight": in_proj_weight,
            "in_proj_bias": in_proj_bias,
            "out_proj.weight": out_proj_weight,
            "out_proj.bias": out_proj_bias,
        }
        hidden = None  # True where a query may not see a key
        if is_causal:
            hidden = torch.ones(query.shape[1], key.shape[1], dtype=torch.bool).triu(1)
        out, _ = torch.func.functional_call(
            module, parameters, (query, key, value),
            {"key_padding_mask": key_padding_mask, "attn_mask": hidden, "need_weights": False},
        )  # fmt: skip
        return out

    return attend
