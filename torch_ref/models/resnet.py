"""A residual network of convolutions in torch: batch norm after each, a shortcut around every two.

The training step is step.py beside this file.
"""

from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from torch_parity.torch_ref.operations import activation as activation_of
from torch_parity.torch_ref.ops.dropout import dropout
from torch_parity.torch_ref.ops.linear import linear


class Block(nn.Module):
    """h = g(shortcut(h) + bn2(conv2(g(bn1(conv1(h))))))

    [m, c, h, w] -> [m, c, h, w], or with other channels [m, c', h / 2, w / 2]
    """

    def __init__(self, read: int, made: int, activation: str, **options: Any) -> None:
        super().__init__()
        stride = 1 if read == made else 2
        self.conv1 = nn.Conv2d(read, made, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(made)
        self.act1 = activation_of(activation, **options)
        self.conv2 = nn.Conv2d(made, made, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(made)
        self.downsample: nn.Sequential | None = None
        if read != made:
            self.downsample = nn.Sequential(
                nn.Conv2d(read, made, kernel_size=1, stride=2, bias=False), nn.BatchNorm2d(made)
            )
        self.act2 = activation_of(activation, **options)

    def forward(self, h: Tensor) -> Tensor:
        branch = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(h)))))
        shortcut = h if self.downsample is None else self.downsample(h)
        out: Tensor = self.act2(shortcut + branch)
        return out


class ResNet(nn.Module):
    """sizes is (n_in, channels of the first convolution, channels of each block..., n_out),
    sample_shape the (c, h, w) of an image, which a row of x holds."""

    def __init__(
        self,
        sizes: tuple[int, ...],
        sample_shape: tuple[int, ...],
        activation: str = "relu",
        output: str = "identity",
        negative_slope: float = 0.01,
        approximate: str = "none",
        p: float = 0.0,
    ) -> None:
        super().__init__()
        options = {"negative_slope": negative_slope, "approximate": approximate}
        _, *channels, n_out = sizes
        self.images = nn.Unflatten(1, sample_shape)
        self.conv1 = nn.Conv2d(sample_shape[0], channels[0], kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        self.act1 = activation_of(activation, **options)
        self.blocks = nn.Sequential(
            *(Block(read, made, activation, **options) for read, made in pairwise(channels))
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flat = nn.Flatten()
        self.drop = dropout(p)
        self.head = linear(channels[-1], n_out)
        self.output = activation_of(output, **options)

    def forward(self, x: Tensor) -> Tensor:
        """[m, c h w] -> [m, n_out]"""
        h = self.blocks(self.act1(self.bn1(self.conv1(self.images(x)))))
        out: Tensor = self.output(self.head(self.drop(self.flat(self.pool(h)))))
        return out
