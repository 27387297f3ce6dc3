"""Softplus in torch: linear where beta z > threshold."""

from torch import nn


def softplus(beta: float = 1.0, threshold: float = 20.0) -> nn.Softplus:
    """a = log(1 + e^(beta z)) / beta                           # any shape"""
    return nn.Softplus(beta, threshold)
