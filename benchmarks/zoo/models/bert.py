"""A BERT classifier: three embeddings, post-norm layers, a pooler."""

import torch
from torch import Tensor, nn

from benchmarks.zoo.models.attention import Attention


class Embeddings(nn.Module):
    def __init__(self, vocabulary: int, length: int, dim: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, dim, padding_idx=0)
        self.positions = nn.Embedding(length, dim)
        self.types = nn.Embedding(2, dim)
        self.ln = nn.LayerNorm(dim, eps=1e-12)

    def places(self, ids: Tensor) -> Tensor:
        return torch.arange(ids.shape[1], device=ids.device)

    def forward(self, ids: Tensor, types: Tensor) -> Tensor:
        return self.ln(self.words(ids) + self.types(types) + self.positions(self.places(ids)))


class Layer(nn.Module):
    def __init__(self, dim: int, heads: int, width: int) -> None:
        super().__init__()
        self.attn = Attention(dim, heads)
        self.ln1 = nn.LayerNorm(dim, eps=1e-12)
        self.fc = nn.Linear(dim, width)
        self.gelu = nn.GELU()
        self.proj = nn.Linear(width, dim)
        self.ln2 = nn.LayerNorm(dim, eps=1e-12)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        x = self.ln1(x + self.attn(x, keep=keep))
        return self.ln2(x + self.proj(self.gelu(self.fc(x))))


class BERT(nn.Module):
    def __init__(
        self, vocabulary: int, length: int, dim: int, heads: int, depth: int, classes: int
    ) -> None:
        super().__init__()
        self.embed = Embeddings(vocabulary, length, dim)
        self.layers = nn.ModuleList(Layer(dim, heads, 2 * dim) for _ in range(depth))
        self.pool = nn.Linear(dim, dim)
        self.tanh = nn.Tanh()
        self.head = nn.Linear(dim, classes)

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        x = self.embed(ids, types)
        for layer in self.layers:
            x = layer(x, mask.bool()[:, None, None])
        return self.head(self.tanh(self.pool(x[:, 0])))
