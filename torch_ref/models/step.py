"""One training step in torch, and one prediction, of any model: a few lines for every network."""

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_


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


def accumulated_step(
    net: nn.Module,
    criterion: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    micro_batches: int,
    clip_norm: float = float("inf"),
) -> None:
    """The same in micro-batches, whose gradients .grad adds up, with clipping before the update.

    loss is a mean. Micro-batches of one size have loss / micro_batches: their share is 1 / K.
    """
    net.train()
    optimizer.zero_grad()
    for x_k, y_k in zip(x.tensor_split(micro_batches), y.tensor_split(micro_batches), strict=True):
        loss: Tensor = criterion(net(x_k), y_k) * (len(x_k) / len(x))
        loss.backward()  # type: ignore[no-untyped-call]
    clip_grad_norm_(net.parameters(), clip_norm)
    optimizer.step()


def predict(net: nn.Module, x: Tensor) -> Tensor:
    """The output without dropout, and without the values that only a backward pass needs."""
    net.eval()
    with torch.no_grad():
        output: Tensor = net(x)
    return output
