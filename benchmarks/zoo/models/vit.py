"""A vision Transformer: patches by convolution, a class token, pre-norm blocks."""

import torch
from torch import Tensor, nn

from benchmarks.zoo.models.attention import Attention
from benchmarks.zoo.models.gpt import Block, FeedForward


class ViT(nn.Module):
    def __init__(
        self, size: int, patch: int, dim: int, heads: int, depth: int, classes: int
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, dim, patch, patch)
        self.cls = nn.Parameter(torch.randn(1, 1, dim) * 0.1)
        self.positions = nn.Parameter(torch.randn(1, (size // patch) ** 2 + 1, dim) * 0.1)
        self.blocks = nn.ModuleList(
            Block(dim, Attention(dim, heads), FeedForward(dim, "none")) for _ in range(depth)
        )
        self.ln = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def tokens(self, x: Tensor) -> Tensor:
        return self.patches(x).flatten(2).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokens(x)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.head(self.ln(x)[:, 0])
