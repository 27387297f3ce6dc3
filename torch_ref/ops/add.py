"""A sum of two tensors in torch; autograd passes its gradient to both."""

from collections.abc import Callable

import torch
from torch import Tensor


def add() -> Callable[[Tensor, Tensor], Tensor]:
    """out = input + other                                      # torch's broadcasting"""
    return torch.add
