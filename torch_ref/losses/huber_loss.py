"""Squared error that goes on as a straight line, in torch."""

from functools import partial

from torch import nn

from torch_parity.torch_ref.losses.batchmean import reduced


def huber_loss(reduction: str = "mean", delta: float = 1.0) -> nn.Module:
    """loss = mean of (a - y)^2 / 2, or delta (|a - y| - delta / 2)   # [m, n], [m, n] -> []"""
    return reduced(partial(nn.HuberLoss, delta=delta), reduction)
