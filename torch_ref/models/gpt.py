"""GPT in torch, character level, in the manner of nanoGPT.

The training step is step.py beside this file.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torch_parity.torch_ref.ops.dropout import dropout
from torch_parity.torch_ref.ops.gelu import gelu
from torch_parity.torch_ref.ops.linear import linear

Approximate = Literal["none", "tanh"]


class CausalSelfAttention(nn.Module):
    """Each position attends to those up to it                 # [m, t, c] -> [m, t, c]"""

    def __init__(self, c: int, heads: int, p: float) -> None:
        super().__init__()
        self.heads = heads
        self.q = linear(c, c)
        self.k = linear(c, c)
        self.v = linear(c, c)
        self.proj = linear(c, c)
        self.drop = dropout(p)

    def forward(self, x: Tensor) -> Tensor:
        m, t, c = x.shape
        q, k, v = (
            a.view(m, t, self.heads, c // self.heads).transpose(1, 2)
            for a in (self.q(x), self.k(x), self.v(x))
        )
        found = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.drop(self.proj(found.transpose(1, 2).reshape(m, t, c)))
        return out


class MLP(nn.Module):
    """Each position by itself                                 # [m, t, c] -> [m, t, c]"""

    def __init__(self, c: int, approximate: Approximate, p: float) -> None:
        super().__init__()
        self.fc = linear(c, 4 * c)
        self.gelu = gelu(approximate)
        self.proj = linear(4 * c, c)
        self.drop = dropout(p)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.drop(self.proj(self.gelu(self.fc(x))))
        return out


class Block(nn.Module):
    """h = h + attn(ln_1(h));  h = h + mlp(ln_2(h))            # [m, t, c] -> [m, t, c]"""

    def __init__(self, c: int, heads: int, approximate: Approximate, p: float) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(c)
        self.attn = CausalSelfAttention(c, heads, p)
        self.ln_2 = nn.LayerNorm(c)
        self.mlp = MLP(c, approximate, p)

    def forward(self, h: Tensor) -> Tensor:
        h = h + self.attn(self.ln_1(h))
        out: Tensor = h + self.mlp(self.ln_2(h))
        return out


class GPT(nn.Module):
    """sizes is (t, c, the number of heads of each block..., v)."""

    def __init__(
        self, sizes: tuple[int, ...], approximate: Approximate = "none", p: float = 0.0
    ) -> None:
        super().__init__()
        t, c, *heads, v = sizes
        self.wte = nn.Embedding(v, c)
        self.wpe = nn.Embedding(t, c)
        self.drop = dropout(p)
        self.blocks = nn.Sequential(*(Block(c, n, approximate, p) for n in heads))
        self.ln_f = nn.LayerNorm(c)
        self.head = linear(c, v)

    def forward(self, x: Tensor) -> Tensor:
        """[m, t] of characters -> [m, v, t]: the scores of the next one, as the loss reads them"""
        positions = torch.arange(x.shape[1], device=x.device)
        h = self.blocks(self.drop(self.wte(x) + self.wpe(positions)))
        scores: Tensor = self.head(self.ln_f(h))
        return scores.transpose(1, 2)
