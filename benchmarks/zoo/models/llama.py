"""A Llama: RMSNorm, rotary positions, grouped keys and values, SwiGLU."""

import torch
from torch import Tensor, nn

from benchmarks.zoo.models.attention import RotaryAttention


class RMSNorm(nn.Module):
    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


class SwiGLU(nn.Module):
    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(dim, width, bias=False)
        self.up = nn.Linear(dim, width, bias=False)
        self.silu = nn.SiLU()
        self.down = nn.Linear(width, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    def __init__(self, dim: int, heads: int, kv_heads: int, mlp: nn.Module, flash: bool) -> None:
        super().__init__()
        self.ln1 = RMSNorm(dim)
        self.attn = RotaryAttention(dim, heads, True, flash, bias=False, kv_heads=kv_heads)
        self.ln2 = RMSNorm(dim)
        self.mlp = mlp

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class Llama(nn.Module):
    def __init__(
        self, vocabulary: int, dim: int, heads: int, kv_heads: int, depth: int, flash: bool = False
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, dim)
        self.blocks = nn.ModuleList(
            Block(dim, heads, kv_heads, SwiGLU(dim, 2 * dim), flash) for _ in range(depth)
        )
        self.ln = RMSNorm(dim)
        self.head = nn.Linear(dim, vocabulary, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.ln(x))
