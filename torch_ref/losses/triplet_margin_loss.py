"""Triplet loss in torch."""

from functools import partial

from torch import nn

from torch_parity.torch_ref.losses.batchmean import reduced


def triplet_margin_loss(
    reduction: str = "mean", margin: float = 1.0, eps: float = 1e-6, swap: bool = False
) -> nn.Module:
    """loss = mean_i max(0, |a_i - p_i| - |a_i - n_i| + margin)   # three of [m, d] -> []"""
    return reduced(partial(nn.TripletMarginLoss, margin=margin, eps=eps, swap=swap), reduction)
