"""ELU in torch; autograd's slope at z = 0 is alpha."""

from torch import nn


def elu(alpha: float = 1.0) -> nn.ELU:
    """a = z where z > 0, else alpha (e^z - 1)                  # any shape"""
    return nn.ELU(alpha)
