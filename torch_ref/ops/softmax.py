"""Softmax in torch, over the given axis. (CrossEntropyLoss includes it: never use both.)"""

from torch import nn


def softmax() -> nn.Softmax:
    """a_ij = e^z_ij / sum_k e^z_ik                             # [m, n] -> [m, n]"""
    return nn.Softmax(dim=1)
