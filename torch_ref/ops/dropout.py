"""Inverted dropout in torch: train() turns it on, eval() off; torch does not return the mask.

recover_mask recomputes the mask, so that the hand-written side can use the same one.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def dropout(p: float) -> nn.Dropout:
    """h = a * mask in training, h = a in evaluation; p is the probability to DROP."""
    return nn.Dropout(p)


def recover_mask(p: float, generator_state: Tensor, like: Tensor) -> Tensor:
    """The mask (0 or 1/(1-p)) that nn.Dropout(p) drew for a tensor shaped like `like`.

    The generator is set to its state before that draw, and the same draw is applied to ones.
    (Reading the mask off `h != 0` fails after a ReLU, whose zeros are not the mask's.)
    """
    generator = generator_of(like.device)
    with put_back(generator):
        generator.set_state(generator_state)
        return nn.functional.dropout(torch.ones_like(like, requires_grad=False), p)


def generator_of(device: torch.device) -> torch.Generator:
    """The default generator of this device."""
    if device.type == "cpu":
        return torch.default_generator
    torch.cuda.init()  # type: ignore[no-untyped-call]
    return torch.cuda.default_generators[device.index]


@contextmanager
def put_back(generator: torch.Generator) -> Iterator[None]:
    """Restore the state of the generator after the with block."""
    state = generator.get_state()
    try:
        yield
    finally:
        generator.set_state(state)


class FixedDropout(nn.Module):
    """h = a * mask in training, h = a in evaluation, with a given mask."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, a: Tensor) -> Tensor:
        """[m, n] -> [m, n]"""
        return a * self.mask if self.training else a
