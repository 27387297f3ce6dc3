"""Logistic loss from probabilities in torch, with its two clamps (log >= -100, slope 1e-12)."""

from torch import nn

from torch_parity.torch_ref.losses.batchmean import reduced


def binary_cross_entropy(reduction: str = "mean") -> nn.Module:
    """loss = -mean(y log a + (1 - y) log(1 - a))               # [m, n], [m, n] -> []"""
    return reduced(nn.BCELoss, reduction)
