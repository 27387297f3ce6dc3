"""Gradient descent in torch."""

from typing import Any

import torch


def sgd(groups: list[dict[str, Any]], lr: float) -> torch.optim.SGD:
    """W' = W - lr * (dW + weight_decay * W)"""
    return torch.optim.SGD(groups, lr=lr)
