"""Softmax in torch, over the given axis. (CrossEntropyLoss includes it: never use both.)"""

from torch import nn


def softmax(dim: int = 1) -> nn.Softmax:
    """a_i = e^z_i / sum_k e^z_k                                # any shape; [m, n]: each row"""
    return nn.Softmax(dim)
