"""Logistic loss from probabilities in torch, with its two clamps (log >= -100, slope 1e-12)."""

from torch import nn


def binary_cross_entropy(reduction: str = "mean") -> nn.BCELoss:
    """loss = -mean(y log a + (1 - y) log(1 - a))               # [m, n], [m, n] -> []"""
    return nn.BCELoss(reduction=reduction)
