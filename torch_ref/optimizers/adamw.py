"""AdamW in torch: each group may have a weight_decay of its own, 0 for biases and norms."""

from typing import Any

import torch


def adamw(
    groups: list[dict[str, Any]],
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> torch.optim.AdamW:
    """W' = Adam's step from W * (1 - lr * weight_decay)"""
    return torch.optim.AdamW(
        groups, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay
    )
