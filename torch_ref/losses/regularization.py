"""Penalties in torch, in two ways.

Usually L2 is an optimizer option: weight_decay adds lambd / m * W to the gradient, and the loss
does not contain it. The other way is a term of the loss, which autograd differentiates; L1 needs
this way.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn


@dataclass(frozen=True)
class Penalty:
    """The course's lambdas, the fixed sample count m, and the way in which L2 is computed."""

    l1: float = 0.0
    l2: float = 0.0
    m: float = 1
    l2_route: Literal["weight_decay", "loss"] = "weight_decay"

    @property
    def weight_decay(self) -> float:
        """The optimizer's weight_decay: lambd / m, or 0 if L2 is a term of the loss."""
        return self.l2 / self.m if self.l2_route == "weight_decay" else 0.0

    def value(self, weights: list[Tensor]) -> Tensor:
        """The sum of both penalties, in whichever way their gradient is computed."""
        return l1_penalty(weights, self.l1, self.m) + l2_penalty(weights, self.l2, self.m)

    def in_loss(self, weights: list[Tensor]) -> Tensor | None:
        """The part that autograd differentiates, if any."""
        l2 = self.l2 if self.l2_route == "loss" else 0.0
        if not (self.l1 or l2):
            return None
        return l1_penalty(weights, self.l1, self.m) + l2_penalty(weights, l2, self.m)


def parameter_groups(net: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """weight_decay for the weights, which have two dimensions or more; none for biases and norms.

    With lambda and m it is lambd / m.
    """
    weights = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    return [
        {"params": weights, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def l2_penalty(weights: Iterable[Tensor], lambd: float, m: float) -> Tensor:
    """penalty = lambd / (2 m) * sum of W^2 over all weights    # [out, in]... -> []"""
    squares = [W.square().sum() for W in weights]
    return lambd / (2 * m) * sum(squares[1:], start=squares[0])


def l1_penalty(weights: Iterable[Tensor], lambd: float, m: float) -> Tensor:
    """penalty = lambd / (2 m) * sum of |W| over all weights    # [out, in]... -> []"""
    sizes = [W.abs().sum() for W in weights]
    return lambd / (2 * m) * sum(sizes[1:], start=sizes[0])
