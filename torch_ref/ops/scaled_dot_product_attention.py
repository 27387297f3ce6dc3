"""Attention in torch: one fused call. It takes a mask or is_causal, not both."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def scaled_dot_product_attention(
    is_causal: bool = False, scale: float | None = None
) -> Callable[..., Tensor]:
    """out = softmax(query @ key.T * scale) @ value   # [..., t, d], [..., s, d], [..., s, n] ->
    # [..., t, n]
    """

    def attend(
        query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None
    ) -> Tensor:
        if is_causal and attn_mask is not None:
            size = query.shape[-2], key.shape[-2]
            attn_mask = attn_mask & torch.ones(size, dtype=torch.bool, device=query.device).tril()
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask, is_causal=is_causal and attn_mask is None, scale=scale
        )

    return attend
