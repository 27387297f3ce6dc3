"""Layer norm in torch; nn.LayerNorm keeps the weight and the bias."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F


def layer_norm(eps: float = 1e-5) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """out = (input - mean) / sqrt(var + eps) * weight + bias   # [..., n], [n], [n] -> [..., n]"""
    return lambda x, weight, bias: F.layer_norm(x, weight.shape, weight, bias, eps)
