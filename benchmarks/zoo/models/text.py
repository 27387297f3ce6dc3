"""Text classifiers and a siamese network."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Bag(nn.Module):
    """The mean of each text's embeddings; texts joined, with their starts."""

    def __init__(self, vocabulary: int, dim: int, classes: int) -> None:
        super().__init__()
        self.embed = nn.EmbeddingBag(vocabulary, dim, mode="mean")
        self.norm = nn.LayerNorm(dim)
        self.fc = nn.Linear(dim, dim)
        self.act = nn.GELU()
        self.head = nn.Linear(dim, classes)

    def forward(self, ids: Tensor, starts: Tensor) -> Tensor:
        return self.head(self.act(self.fc(self.norm(self.embed(ids, starts)))))


class TextCNN(nn.Module):
    """Convolutions of two widths over padded embeddings, the greatest over time."""

    def __init__(self, vocabulary: int, dim: int, classes: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, dim, padding_idx=0)
        self.narrow = nn.Conv1d(dim, dim, 3, padding=1)
        self.wide = nn.Conv1d(dim, dim, 5, padding=2)
        self.relu = nn.ReLU()
        self.head = nn.Linear(2 * dim, classes)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids).transpose(1, 2)
        maxima = [self.relu(conv(x)).amax(-1) for conv in (self.narrow, self.wide)]
        return self.head(torch.cat(maxima, 1))


class Tower(nn.Module):
    def __init__(self, vocabulary: int, dim: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, dim, padding_idx=0)
        self.fc1 = nn.Linear(dim, dim)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)

    def pool(self, x: Tensor, keep: Tensor) -> Tensor:
        part = keep[..., None].to(x.dtype)
        return (x * part).sum(1) / part.sum(1)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.pool(self.embed(ids), ids != 0)
        return self.norm(x + self.fc2(self.act(self.fc1(x))))


class Siamese(nn.Module):
    """One tower for both texts; the cosine of what it makes of them."""

    def __init__(self, vocabulary: int, dim: int) -> None:
        super().__init__()
        self.tower = Tower(vocabulary, dim)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return F.cosine_similarity(self.tower(left), self.tower(right)) * 5.0
