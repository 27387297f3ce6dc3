"""The largest entry along some axes in torch."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

Dim = int | tuple[int, ...] | None


def amax(dim: Dim = None, keepdim: bool = False) -> Callable[[Tensor], Tensor]:
    """out = largest entry of input along dim; None is all axes"""
    return partial(torch.amax, dim=() if dim is None else dim, keepdim=keepdim)
