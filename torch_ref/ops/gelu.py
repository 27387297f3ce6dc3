"""GELU in torch: exact by erf, or approximated by tanh."""

from typing import Literal

from torch import nn


def gelu(approximate: Literal["none", "tanh"] = "none") -> nn.GELU:
    """a = z Phi(z)                                             # any shape"""
    return nn.GELU(approximate)
