"""A difference of two tensors in torch; autograd sums over the axes that were broadcast."""

from collections.abc import Callable

import torch
from torch import Tensor


def sub() -> Callable[[Tensor, Tensor], Tensor]:
    """out = input - other    # torch's broadcasting"""
    return torch.sub
