"""A frame around the last axes in torch."""

from collections.abc import Callable
from functools import partial

from torch import Tensor
from torch.nn import functional as F


def pad(pad: tuple[int, ...], value: float = 0.0) -> Callable[[Tensor], Tensor]:
    """[..., h, w] -> [..., H, W];  pad is (left, right, top, bottom, ...)"""
    return partial(F.pad, pad=pad, value=value)
