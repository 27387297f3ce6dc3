"""Max pooling in torch."""

from torch import nn

Pair = int | tuple[int, int]


def max_pool2d(
    kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0, dilation: Pair = 1
) -> nn.MaxPool2d:
    """[m, c, h, w] -> [m, c, h', w']"""
    return nn.MaxPool2d(kernel_size, stride, padding, dilation)
