"""One step of a GRU in torch; nn.GRUCell keeps the weights."""

from collections.abc import Callable

import torch
from torch import Tensor


def gru_cell() -> Callable[..., Tensor]:
    """input, h, weight_ih, weight_hh, bias_ih, bias_hh -> h_next"""
    return torch.gru_cell
