"""Gradient descent in torch."""

from typing import Any

import torch
from torch import Tensor


def sgd(groups: list[dict[str, Any]], lr: float) -> torch.optim.SGD:
    """W' = W - lr * (dW + weight_decay * W)"""
    return torch.optim.SGD(groups, lr=lr)


def slots(state: dict[str, Any], group: dict[str, Any]) -> dict[str, Tensor]:
    """Plain gradient descent remembers nothing."""
    return {}
