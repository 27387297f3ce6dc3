"""One training step in torch, of any model: five lines for every network."""

import torch
from torch import Tensor, nn


def step(
    net: nn.Module, criterion: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor
) -> Tensor:
    """Forward, backward, update -> the loss before the update."""
    net.train()
    optimizer.zero_grad()
    loss: Tensor = criterion(net(x), y)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach()
