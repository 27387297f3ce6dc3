"""A power with a fixed exponent in torch."""

from collections.abc import Callable

import torch
from torch import Tensor


def pow(exponent: float) -> Callable[[Tensor], Tensor]:  # noqa: A001  (torch's name)
    """out = input^exponent                                     # any shape"""
    return lambda input: torch.pow(input, exponent)  # noqa: A006
