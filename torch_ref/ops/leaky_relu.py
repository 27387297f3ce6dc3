"""Leaky ReLU in torch; autograd's slope at z = 0 is negative_slope."""

from torch import nn


def leaky_relu(negative_slope: float = 0.01) -> nn.LeakyReLU:
    """a = z where z > 0, else negative_slope * z               # [m, n] -> [m, n]"""
    return nn.LeakyReLU(negative_slope)
