"""Log-softmax in torch, over the given axis. (CrossEntropyLoss includes it: never use both.)"""

from torch import nn


def log_softmax(dim: int = 1) -> nn.LogSoftmax:
    """a_i = z_i - log sum_k e^z_k                              # any shape; [m, n]: each row"""
    return nn.LogSoftmax(dim)
