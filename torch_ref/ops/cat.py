"""Tensors one after the other along an axis, in torch."""

from collections.abc import Callable

import torch
from torch import Tensor


def cat(dim: int = 0) -> Callable[..., Tensor]:
    """out = the tensors, joined along dim      # [n1, ...], [n2, ...], ... -> [n1 + n2 ..., ...]"""
    return lambda *tensors: torch.cat(tensors, dim)
