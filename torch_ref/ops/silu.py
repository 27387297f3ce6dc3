"""SiLU (swish) in torch."""

from torch import nn


def silu() -> nn.SiLU:
    """a = z sigmoid(z)                                         # any shape"""
    return nn.SiLU()
