"""RMSprop in torch: square_avg is the course's s, alpha its beta."""

from typing import Any

import torch


def rmsprop(
    groups: list[dict[str, Any]], lr: float, alpha: float = 0.99, eps: float = 1e-8
) -> torch.optim.RMSprop:
    """s' = alpha s + (1 - alpha) dW^2;  W' = W - lr * dW / (sqrt(s') + eps)"""
    return torch.optim.RMSprop(groups, lr=lr, alpha=alpha, eps=eps)
