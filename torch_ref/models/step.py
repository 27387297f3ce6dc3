"""One training step in torch, and one prediction, of any model: a few lines for every network."""

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


def predict(net: nn.Module, x: Tensor) -> Tensor:
    """The output without dropout, and without the values that only a backward pass needs."""
    net.eval()
    with torch.no_grad():
        output: Tensor = net(x)
    return output
