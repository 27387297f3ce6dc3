"""A mixture of experts: each token goes to its top k, as in Mixtral."""

import torch
from torch import Tensor, nn

from benchmarks.zoo.models.llama import Block, RMSNorm, SwiGLU


class Experts(nn.Module):
    def __init__(self, dim: int, experts: int, k: int) -> None:
        super().__init__()
        self.gate = nn.Linear(dim, experts, bias=False)
        self.experts = nn.ModuleList(SwiGLU(dim, dim) for _ in range(experts))
        self.k = k

    def route(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The weights and the numbers of each token's experts, both (tokens, k)."""
        top, chosen = self.gate(x).topk(self.k, -1)
        return top.softmax(-1), chosen

    def add(self, out: Tensor, token: Tensor, part: Tensor) -> Tensor:
        return out.index_add(0, token, part)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)
        weights, chosen = self.route(flat)
        out = torch.zeros_like(flat)
        for number, expert in enumerate(self.experts):
            token, place = torch.where(chosen == number)
            out = self.add(out, token, expert(flat[token]) * weights[token, place, None])
        return out.view_as(x)


class MoE(nn.Module):
    def __init__(self, vocabulary: int, dim: int, heads: int, experts: int, k: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, dim)
        self.block = Block(dim, heads, heads, Experts(dim, experts, k), flash=False)
        self.ln = RMSNorm(dim)
        self.head = nn.Linear(dim, vocabulary, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.ln(self.block(self.embed(ids))))
