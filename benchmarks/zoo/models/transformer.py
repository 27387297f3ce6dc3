"""Torch's own Transformer layers, and an encoder-decoder written out."""

import math

import torch
from torch import Tensor, nn

from benchmarks.zoo.models.attention import Attention
from benchmarks.zoo.models.gpt import FeedForward


class Encoder(nn.Module):
    """nn.TransformerEncoder over padded sequences, mean over what is no padding."""

    def __init__(self, layer: nn.TransformerEncoderLayer, dim: int, depth: int, classes: int):
        super().__init__()
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(dim, classes)

    def pool(self, x: Tensor, keep: Tensor) -> Tensor:
        part = keep[..., None].to(x.dtype)
        return (x * part).sum(1) / part.sum(1)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        return self.head(self.pool(self.encoder(x, src_key_padding_mask=~keep), keep))


def sinusoids(length: int, dim: int) -> Tensor:
    """(length, dim): sine in even columns, cosine in odd ones."""
    angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(0, dim, 2) / dim)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


class Positions(nn.Module):
    def __init__(self, length: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("table", sinusoids(length, dim))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table[: x.shape[1]]


class Embedding(nn.Module):
    """Tokens times sqrt(dim), as in the paper."""

    def __init__(self, vocabulary: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, dim, padding_idx=0)

    def forward(self, ids: Tensor) -> Tensor:
        return self.table(ids) * math.sqrt(self.table.embedding_dim)


class Seq2Seq(nn.Module):
    """nn.Transformer between token embeddings and a head."""

    def __init__(self, vocabulary: int, length: int, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.embed = Embedding(vocabulary, dim)
        self.positions = Positions(length, dim)
        self.transformer = nn.Transformer(dim, heads, 1, 1, 2 * dim, dropout, batch_first=True)
        self.head = nn.Linear(dim, vocabulary)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        length = target.shape[1]
        ahead = torch.ones(length, length, dtype=torch.bool, device=source.device).triu(1)
        y = self.transformer(
            self.positions(self.embed(source)),
            self.positions(self.embed(target)),
            tgt_mask=ahead,
            src_key_padding_mask=source == 0,
            memory_key_padding_mask=source == 0,
        )
        return self.head(y)


class EncoderBlock(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attn = Attention(dim, heads)
        self.ln1 = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, "none")
        self.ln2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        x = self.ln1(x + self.attn(x, keep=keep))
        return self.ln2(x + self.mlp(x))


class DecoderBlock(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attn = Attention(dim, heads, causal=True)
        self.ln1 = nn.LayerNorm(dim)
        self.cross = Attention(dim, heads)
        self.ln2 = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, "none")
        self.ln3 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, memory: Tensor, keep: Tensor) -> Tensor:
        x = self.ln1(x + self.attn(x))
        x = self.ln2(x + self.cross(x, memory, keep))
        return self.ln3(x + self.mlp(x))


class Translator(nn.Module):
    """An encoder block and a decoder block; embeddings shared by both and tied to the head."""

    def __init__(self, vocabulary: int, length: int, dim: int, heads: int) -> None:
        super().__init__()
        self.embed = Embedding(vocabulary, dim)
        self.positions = Positions(length, dim)
        self.encoder = EncoderBlock(dim, heads)
        self.decoder = DecoderBlock(dim, heads)
        self.head = nn.Linear(dim, vocabulary, bias=False)
        self.head.weight = self.embed.table.weight

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        keep = (source != 0)[:, None, None]
        memory = self.encoder(self.positions(self.embed(source)), keep)
        return self.head(self.decoder(self.positions(self.embed(target)), memory, keep))
