"""A U-Net: down, up by transposed convolution, skips by concatenation."""

import torch
from torch import Tensor, nn


class DoubleConv(nn.Sequential):
    def __init__(self, channels: int, out: int) -> None:
        super().__init__(
            nn.Conv2d(channels, out, 3, padding=1),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1),
            nn.BatchNorm2d(out),
            nn.ReLU(),
        )


class UNet(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.down1 = DoubleConv(3, width)
        self.down2 = DoubleConv(width, 2 * width)
        self.pool = nn.MaxPool2d(2)
        self.middle = DoubleConv(2 * width, 4 * width)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
        self.join2 = DoubleConv(4 * width, 2 * width)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.join1 = DoubleConv(2 * width, width)
        self.head = nn.Conv2d(width, classes, 1)

    def skip(self, kept: Tensor, up: Tensor) -> Tensor:
        return torch.cat([kept, up], 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.down1(x)
        b = self.down2(self.pool(a))
        y = self.middle(self.pool(b))
        y = self.join2(self.skip(b, self.up2(y)))
        y = self.join1(self.skip(a, self.up1(y)))
        return self.head(y)
