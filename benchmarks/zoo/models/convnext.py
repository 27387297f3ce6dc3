"""A ConvNeXt, channels first as most of torch has them, and channels last."""

import torch
from torch import Tensor, nn


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (b, c, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        normal = (x - mean) / torch.sqrt(variance + 1e-6)
        return self.weight[:, None, None] * normal + self.bias[:, None, None]


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.norm = ChannelNorm(channels)
        self.wide = nn.Conv2d(channels, 2 * channels, 1)
        self.gelu = nn.GELU()
        self.narrow = nn.Conv2d(2 * channels, channels, 1)
        self.scale = nn.Parameter(0.5 * torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.narrow(self.gelu(self.wide(self.norm(self.depthwise(x)))))
        return x + self.scale[:, None, None] * y


class ConvNeXt(nn.Module):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, channels, 2, 2)
        self.blocks = nn.Sequential(Block(channels), Block(channels))
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.patches(x)).mean((2, 3)))


class LastBlock(nn.Module):
    """(b, h, w, c): torch's layer norm and linear layers fit as they are."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.wide = nn.Linear(channels, 2 * channels)
        self.gelu = nn.GELU()
        self.narrow = nn.Linear(2 * channels, channels)
        self.scale = nn.Parameter(0.5 * torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + self.scale * self.narrow(self.gelu(self.wide(self.norm(y))))


class ConvNeXtLast(nn.Module):
    """Takes images (b, h, w, 3); patches by reshaping and one product."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.patches = nn.Linear(12, channels)
        self.blocks = nn.Sequential(LastBlock(channels), LastBlock(channels))
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, c = x.shape
        x = x.view(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 5, 2, 4).flatten(3)
        return self.head(self.blocks(self.patches(x)).mean((1, 2)))
