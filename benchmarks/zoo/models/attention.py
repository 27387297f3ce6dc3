"""Multi-head attention, a step a method."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Of x to itself or to `memory`; `keep` (b, 1, 1, s) says which keys are no padding."""

    def __init__(
        self,
        dim: int,
        heads: int,
        causal: bool = False,
        flash: bool = False,
        bias: bool = True,
        kv_heads: int | None = None,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads = heads, kv_heads or heads
        self.causal, self.flash = causal, flash
        self.make_projections(dim, dim // heads * self.kv_heads, bias)
        self.out = nn.Linear(dim, dim, bias=bias)

    def make_projections(self, dim: int, kv: int, bias: bool) -> None:
        self.q = nn.Linear(dim, dim, bias=bias)
        self.k = nn.Linear(dim, kv, bias=bias)
        self.v = nn.Linear(dim, kv, bias=bias)

    def project(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.q(x), self.k(memory), self.v(memory)

    def split(self, x: Tensor, heads: int) -> Tensor:
        return x.view(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)

    def with_positions(self, x: Tensor) -> Tensor:
        return x

    def repeat(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(self.heads // self.kv_heads, 1)

    def scale(self, q: Tensor) -> float:
        return 1 / math.sqrt(q.shape[-1])

    def visible(self, scores: Tensor) -> Tensor:
        return torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()

    def masked(self, scores: Tensor, keep: Tensor | None) -> Tensor:
        if self.causal:
            scores = scores.masked_fill(~self.visible(scores), -math.inf)
        return scores if keep is None else scores.masked_fill(~keep, -math.inf)

    def weights(self, scores: Tensor) -> Tensor:
        return scores.softmax(-1)

    def mix(self, q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None) -> Tensor:
        if self.flash:
            return F.scaled_dot_product_attention(q, k, v, keep, is_causal=self.causal)
        scores = q @ k.transpose(-2, -1) * self.scale(q)
        return self.weights(self.masked(scores, keep)) @ v

    def merge(self, y: Tensor) -> Tensor:
        return y.transpose(1, 2).flatten(2)

    def forward(
        self, x: Tensor, memory: Tensor | None = None, keep: Tensor | None = None
    ) -> Tensor:
        q, k, v = self.project(x, x if memory is None else memory)
        q = self.with_positions(self.split(q, self.heads))
        k = self.repeat(self.with_positions(self.split(k, self.kv_heads)))
        v = self.repeat(self.split(v, self.kv_heads))
        return self.out(self.merge(self.mix(q, k, v, keep)))


class FusedAttention(Attention):
    """One product for queries, keys and values."""

    def make_projections(self, dim: int, kv: int, bias: bool) -> None:
        self.qkv = nn.Linear(dim, dim + 2 * kv, bias=bias)

    def project(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.qkv(x).chunk(3, -1)
        return q, k, v


class RotaryAttention(Attention):
    """Rotary positions, each entry paired with the one half a head further (Llama's way)."""

    def angles(self, x: Tensor) -> tuple[Tensor, Tensor]:
        half = torch.arange(0, x.shape[-1], 2, dtype=torch.float32, device=x.device)
        frequencies = 1.0 / 10000.0 ** (half / x.shape[-1])
        places = torch.arange(x.shape[-2], dtype=torch.float32, device=x.device)
        angles = places[:, None] * frequencies
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)

    def with_positions(self, x: Tensor) -> Tensor:
        cos, sin = self.angles(x)
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
