"""The sigmoid in torch, which is stable for large |z|."""

from torch import nn


def sigmoid() -> nn.Sigmoid:
    """a = 1 / (1 + e^-z)                                       # [m, n] -> [m, n]"""
    return nn.Sigmoid()
