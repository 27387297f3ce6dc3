"""The entries of an axis that an index names, in torch."""

from collections.abc import Callable

import torch
from torch import Tensor


def index_select(dim: int = 0) -> Callable[[Tensor, Tensor], Tensor]:
    """out[j] = input[index[j]], along the axis dim             # [n, ...], [k] -> [k, ...]"""
    return lambda input, index: torch.index_select(input, dim, index)  # noqa: A006
