"""A GPT as nanoGPT writes it: learned positions, pre-norm, tied head."""

import torch
from torch import Tensor, nn

from benchmarks.zoo.models.attention import Attention, FusedAttention


class FeedForward(nn.Module):
    def __init__(self, dim: int, approximate: str = "tanh", dropout: float = 0.0) -> None:
        super().__init__()
        self.fc = nn.Linear(dim, 4 * dim)
        self.gelu = nn.GELU(approximate)
        self.proj = nn.Linear(4 * dim, dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.proj(self.gelu(self.fc(x))))


class Block(nn.Module):
    def __init__(self, dim: int, attention: Attention, mlp: nn.Module) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(dim)
        self.attn = attention
        self.ln2 = nn.LayerNorm(dim)
        self.mlp = mlp

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class GPT(nn.Module):
    def __init__(
        self,
        vocabulary: int,
        length: int,
        dim: int,
        heads: int,
        depth: int,
        flash: bool = True,
        fused: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        attention = FusedAttention if fused else Attention
        self.wte = nn.Embedding(vocabulary, dim)
        self.wpe = nn.Embedding(length, dim)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(dim, attention(dim, heads, True, flash), FeedForward(dim, dropout=dropout))
            for _ in range(depth)
        )
        self.ln = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, vocabulary, bias=False)
        self.head.weight = self.wte.weight

    def places(self, ids: Tensor) -> Tensor:
        return torch.arange(ids.shape[1], device=ids.device)

    def embed(self, ids: Tensor) -> Tensor:
        return self.drop(self.wte(ids) + self.wpe(self.places(ids)))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.ln(x))
