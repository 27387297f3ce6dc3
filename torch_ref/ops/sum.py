"""The sum along some axes in torch."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

Dim = int | tuple[int, ...] | None


def sum(dim: Dim = None, keepdim: bool = False) -> Callable[[Tensor], Tensor]:  # noqa: A001  (torch's name)
    """out = sum of input along dim; None is all axes"""
    return partial(torch.sum, dim=dim, keepdim=keepdim)
