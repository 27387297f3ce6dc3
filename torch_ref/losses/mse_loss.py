"""Squared error in torch: the mean runs over every entry, not over samples alone."""

from torch import nn


def mse_loss(reduction: str = "mean") -> nn.MSELoss:
    """loss = mean((a - y)^2)                                   # [m, n], [m, n] -> []"""
    return nn.MSELoss(reduction=reduction)
