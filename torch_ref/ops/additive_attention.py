"""Additive attention in torch, which has no module for it."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def additive_attention() -> Callable[..., Tensor]:
    """out = softmax(scores) @ value,  scores_ts = score_weight . tanh(W_query q_t + W_key k_s)

    # [m, t, n_q], [m, s, n_k], [m, s, n], [h, n_q], [h, n_k], [h] -> [m, t, n]
    """

    def attend(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        query_weight: Tensor,
        key_weight: Tensor,
        score_weight: Tensor,
    ) -> Tensor:
        q, k = F.linear(query, query_weight), F.linear(key, key_weight)
        scores = torch.tanh(q.unsqueeze(2) + k.unsqueeze(1)) @ score_weight
        return scores.softmax(dim=-1) @ value

    return attend
