"""The matrix product in torch, of a batch of matrices as well."""

from collections.abc import Callable

import torch
from torch import Tensor


def matmul() -> Callable[[Tensor, Tensor], Tensor]:
    """out = input @ other                      # [..., m, k], [..., k, n] -> [..., m, n]"""
    return torch.matmul
