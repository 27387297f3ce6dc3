"""Average pooling in torch."""

from torch import nn

Pair = int | tuple[int, int]


def avg_pool2d(
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    count_include_pad: bool = True,
) -> nn.AvgPool2d:
    """[m, c, h, w] -> [m, c, h', w']"""
    return nn.AvgPool2d(kernel_size, stride, padding, count_include_pad=count_include_pad)
