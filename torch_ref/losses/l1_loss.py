"""Absolute error in torch."""

from torch import nn

from torch_parity.torch_ref.losses.batchmean import reduced


def l1_loss(reduction: str = "mean") -> nn.Module:
    """loss = mean(|a - y|)                                     # [m, n], [m, n] -> []"""
    return reduced(nn.L1Loss, reduction)
