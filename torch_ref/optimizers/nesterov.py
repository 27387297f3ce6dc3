"""Nesterov's momentum in torch."""

from typing import Any

import torch


def nesterov(groups: list[dict[str, Any]], lr: float, momentum: float = 0.9) -> torch.optim.SGD:
    """v' = momentum * v + dW;  W' = W - lr * (dW + momentum * v')"""
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=True)
