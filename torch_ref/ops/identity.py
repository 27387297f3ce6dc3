"""No activation in torch: a module that hands its input on, the very same tensor."""

from torch import nn


def identity() -> nn.Identity:
    """a = z                                                    # [m, n] -> [m, n]"""
    return nn.Identity()
