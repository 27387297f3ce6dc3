"""Sinusoidal positions in torch, which has no module for them."""

from collections.abc import Callable

import torch
from torch import Tensor

from torch_parity.torch_ref.positions import angles


def sinusoidal_positions(base: float = 10000.0) -> Callable[[Tensor], Tensor]:
    """out_t = input_t + (sin, cos, sin, cos...)(t / base^(2i / n))  # [..., t, n] -> [..., t, n]"""

    def add(x: Tensor) -> Tensor:
        at = angles(x, base)
        return x + torch.stack([at.sin(), at.cos()], dim=-1).flatten(-2)

    return add
