"""Group norm in torch; nn.GroupNorm keeps the weight and the bias."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F


def group_norm(num_groups: int, eps: float = 1e-5) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """out = (input - mean) / sqrt(var + eps) * weight + bias   # [m, c, ...], [c], [c]"""
    return lambda x, weight, bias: F.group_norm(x, num_groups, weight, bias, eps)
