"""Fully connected networks."""

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """Two hidden layers with layer norm, dropout, GELU and SiLU, and a gate in between."""

    def __init__(self, features: int, width: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(features, width)
        self.norm = nn.LayerNorm(width)
        self.gelu = nn.GELU()
        self.drop = nn.Dropout(dropout)
        self.fc2 = nn.Linear(width, width)
        self.silu = nn.SiLU()
        self.fc3 = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        h = self.drop(self.gelu(self.norm(self.fc1(x))))
        h = self.silu(self.fc2(h)) + torch.tanh(h)
        return self.fc3(h)


class Regressor(nn.Module):
    """Clamped inputs, ELU, softplus: predicts positive numbers."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(features, width)
        self.act = nn.ELU()
        self.fc2 = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.fc3 = nn.Linear(width, 2)
        self.positive = nn.Softplus()

    def limit(self, x: Tensor) -> Tensor:
        return x.clamp(-1.0, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.fc1(self.limit(x)))
        return self.positive(self.fc3(self.norm(self.fc2(h) + h)))
