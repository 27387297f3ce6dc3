"""The sigmoid in torch: stable for large |z| without asking."""

from torch import nn


def sigmoid() -> nn.Sigmoid:
    """a = 1 / (1 + e^-z)                                       # [m, n] -> [m, n]"""
    return nn.Sigmoid()
