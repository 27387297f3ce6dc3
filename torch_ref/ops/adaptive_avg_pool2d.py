"""Adaptive average pooling in torch."""

from torch import nn

Pair = int | tuple[int, int]


def adaptive_avg_pool2d(output_size: Pair) -> nn.AdaptiveAvgPool2d:
    """[m, c, h, w] -> [m, c, h', w']"""
    return nn.AdaptiveAvgPool2d(output_size)
