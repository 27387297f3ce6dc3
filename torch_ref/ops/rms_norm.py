"""RMS norm in torch; nn.RMSNorm keeps the weight."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F


def rms_norm(eps: float) -> Callable[[Tensor, Tensor], Tensor]:
    """out = input / sqrt(mean(input^2) + eps) * weight         # [..., n], [n] -> [..., n]"""
    return lambda x, weight: F.rms_norm(x, weight.shape, weight, eps)
