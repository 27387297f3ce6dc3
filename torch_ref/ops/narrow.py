"""A slice along one axis, in torch."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor


def narrow(dim: int, start: int, length: int) -> Callable[[Tensor], Tensor]:
    """out = the entries start ... start + length - 1 of the axis dim"""
    return partial(torch.narrow, dim=dim, start=start, length=length)
