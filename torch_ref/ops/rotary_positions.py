"""Rotary positions in torch, which has no module for them."""

from collections.abc import Callable

import torch
from torch import Tensor

from torch_parity.torch_ref.positions import angles


def rotary_positions(
    interleaved: bool = False, base: float = 10000.0
) -> Callable[[Tensor], Tensor]:
    """first_i' = first_i cos - second_i sin;  second_i' = first_i sin + second_i cos

    # [..., t, n] -> [..., t, n]; the angle is t / base^(2i / n), and positions count from 0
    """

    def turn(x: Tensor) -> Tensor:
        at = angles(x, base)
        pairs = (x[..., 0::2], x[..., 1::2]) if interleaved else x.chunk(2, dim=-1)
        first, second = pairs
        turned = first * at.cos() - second * at.sin(), first * at.sin() + second * at.cos()
        return torch.stack(turned, -1).flatten(-2) if interleaved else torch.cat(turned, dim=-1)

    return turn
