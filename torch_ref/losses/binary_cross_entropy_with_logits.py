"""Logistic loss directly from z in torch, which its documentation recommends."""

from torch import nn

from torch_parity.torch_ref.losses.batchmean import reduced


def binary_cross_entropy_with_logits(reduction: str = "mean") -> nn.Module:
    """loss = mean(max(z, 0) - z y + log(1 + e^-|z|))           # [m, n], [m, n] -> []"""
    return reduced(nn.BCEWithLogitsLoss, reduction)
