"""Squared error in torch: the mean runs over every entry, not over samples alone."""

from torch import nn

from torch_parity.torch_ref.losses.batchmean import reduced


def mse_loss(reduction: str = "mean") -> nn.Module:
    """loss = mean((a - y)^2)                                   # [m, n], [m, n] -> []"""
    return reduced(nn.MSELoss, reduction)
