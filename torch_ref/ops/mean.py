"""The mean along some axes in torch."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

Dim = int | tuple[int, ...] | None


def mean(dim: Dim = None, keepdim: bool = False) -> Callable[[Tensor], Tensor]:
    """out = mean of input along dim; None is all axes"""
    return partial(torch.mean, dim=dim, keepdim=keepdim)
