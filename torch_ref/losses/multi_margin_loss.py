"""Hinge loss of several classes in torch."""

from functools import partial

from torch import nn

from torch_parity.torch_ref.losses.batchmean import reduced


def multi_margin_loss(reduction: str = "mean", margin: float = 1.0) -> nn.Module:
    """loss = mean_i(sum over k != y_i of max(0, margin - z_i,y_i + z_ik) / n)"""
    return reduced(partial(nn.MultiMarginLoss, margin=margin), reduction)
