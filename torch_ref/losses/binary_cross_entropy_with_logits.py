"""Logistic loss directly from z in torch, which its documentation recommends."""

from torch import nn


def binary_cross_entropy_with_logits(reduction: str = "mean") -> nn.BCEWithLogitsLoss:
    """loss = mean(max(z, 0) - z y + log(1 + e^-|z|))           # [m, n], [m, n] -> []"""
    return nn.BCEWithLogitsLoss(reduction=reduction)
