"""No activation in torch: a module that returns its input, the same tensor."""

from torch import nn


def identity() -> nn.Identity:
    """a = z                                                    # [m, n] -> [m, n]"""
    return nn.Identity()
