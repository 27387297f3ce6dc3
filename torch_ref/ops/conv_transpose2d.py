"""Transposed convolution in torch; nn.ConvTranspose2d keeps the weight and the bias."""

from collections.abc import Callable
from functools import partial

from torch import Tensor
from torch.nn import functional as F

Pair = int | tuple[int, int]


def conv_transpose2d(
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """[m, c, h, w], [c, o / groups, kh, kw], [o] -> [m, o, H, W]"""
    return partial(
        F.conv_transpose2d,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        groups=groups,
        dilation=dilation,
    )
