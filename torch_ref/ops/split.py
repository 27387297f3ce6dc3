"""The parts of a tensor along an axis, in torch."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor


def split(
    split_size: int | tuple[int, ...], dim: int = 0
) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """parts = input, cut along dim             # [n, ...] -> [n1, ...], [n2, ...], ..."""
    sizes = split_size if isinstance(split_size, int) else list(split_size)
    return partial(torch.split, split_size_or_sections=sizes, dim=dim)
