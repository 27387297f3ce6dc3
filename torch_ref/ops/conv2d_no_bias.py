"""Convolution without a bias in torch; nn.Conv2d(bias=False) keeps the weight."""

from collections.abc import Callable
from functools import partial

from torch import Tensor
from torch.nn import functional as F

Pair = int | tuple[int, int]


def conv2d_no_bias(
    stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1, groups: int = 1
) -> Callable[[Tensor, Tensor], Tensor]:
    """[m, c, h, w], [o, c / groups, kh, kw] -> [m, o, h', w']"""
    return partial(F.conv2d, stride=stride, padding=padding, dilation=dilation, groups=groups)
