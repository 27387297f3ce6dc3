"""The angles that tell a position, in torch."""

import torch
from torch import Tensor


def angles(x: Tensor, base: float) -> Tensor:
    """angle_ti = t / base^(2i / n)                             # [..., t, n] -> [t, n / 2]"""
    t, n = x.shape[-2:]
    count = torch.arange(t, dtype=x.dtype, device=x.device)
    exponent = torch.arange(0, n, 2, dtype=x.dtype, device=x.device) / n
    return torch.outer(count, 1 / base**exponent)
