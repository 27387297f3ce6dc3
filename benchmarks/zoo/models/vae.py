"""A variational autoencoder of small images."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class VAE(nn.Module):
    def __init__(self, size: int, width: int, latent: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, 2, 1)
        self.act = nn.GELU()
        self.flat = nn.Flatten()
        self.mean = nn.Linear(width * (size // 2) ** 2, latent)
        self.logvar = nn.Linear(width * (size // 2) ** 2, latent)
        self.fc = nn.Linear(latent, width * (size // 2) ** 2)
        self.norm = nn.LayerNorm(width * (size // 2) ** 2)
        self.relu = nn.ReLU()
        self.shape = nn.Unflatten(1, (width, size // 2, size // 2))
        self.up = nn.ConvTranspose2d(width, 1, 4, 2, 1)

    def limit(self, logvar: Tensor) -> Tensor:
        return logvar.clamp(-0.3, 0.3)

    def sample(self, mean: Tensor, logvar: Tensor) -> Tensor:
        return mean + (0.5 * logvar).exp() * torch.randn_like(mean)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.flat(self.act(self.conv(x)))
        mean, logvar = self.mean(h), self.limit(self.logvar(h))
        h = self.relu(self.norm(self.fc(self.sample(mean, logvar))))
        return self.up(self.shape(h)), mean, logvar


def elbo(output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
    logits, mean, logvar = output
    kl = -0.5 * (1 + logvar - mean.pow(2) - logvar.exp()).sum(1).mean()
    return F.binary_cross_entropy_with_logits(logits, x) + 0.1 * kl
