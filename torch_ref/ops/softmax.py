"""Softmax in torch: say over which axis. (CrossEntropyLoss brings its own: never put both.)"""

from torch import nn


def softmax() -> nn.Softmax:
    """a_ij = e^z_ij / sum_k e^z_ik                             # [m, n] -> [m, n]"""
    return nn.Softmax(dim=1)
