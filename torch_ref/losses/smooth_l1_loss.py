"""Absolute error with a round bottom in torch."""

from functools import partial

from torch import nn

from torch_parity.torch_ref.losses.batchmean import reduced


def smooth_l1_loss(reduction: str = "mean", beta: float = 1.0) -> nn.Module:
    """loss = mean of (a - y)^2 / (2 beta), or |a - y| - beta / 2   # [m, n], [m, n] -> []"""
    return reduced(partial(nn.SmoothL1Loss, beta=beta), reduction)
