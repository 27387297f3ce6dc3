"""Softmax loss in torch: takes raw z and class indices, applies log-softmax itself."""

from torch import nn

from torch_parity.torch_ref.losses.batchmean import reduced


def cross_entropy(reduction: str = "mean") -> nn.Module:
    """loss = mean_i(log sum_k e^z_ik - z_i,y_i)                # [m, n], [m] of int64 -> []"""
    return reduced(nn.CrossEntropyLoss, reduction)
