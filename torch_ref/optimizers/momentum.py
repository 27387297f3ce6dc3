"""Momentum in torch, which adds the gradients; the course's average is the same optimizer with a
smaller learning rate."""

from typing import Any

import torch


def momentum(groups: list[dict[str, Any]], lr: float, momentum: float = 0.9) -> torch.optim.SGD:
    """v' = momentum * v + dW;  W' = W - lr * v'"""
    return torch.optim.SGD(groups, lr=lr, momentum=momentum)


def momentum_course(groups: list[dict[str, Any]], lr: float, beta: float = 0.9) -> torch.optim.SGD:
    """v' = beta * v + (1 - beta) * dW;  W' = W - lr * v'

    torch's buffer is v / (1 - beta), so lr is multiplied by (1 - beta).
    (SGD(dampening=beta) is not the same: torch skips the dampening in the first step.)
    """
    return torch.optim.SGD(groups, lr=lr * (1 - beta), momentum=beta)
