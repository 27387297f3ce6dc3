"""One step of a simple recurrent network in torch; nn.RNNCell keeps the weights."""

from collections.abc import Callable

import torch
from torch import Tensor


def rnn_cell() -> Callable[..., Tensor]:
    """input, h, weight_ih, weight_hh, bias_ih, bias_hh -> h_next"""
    return torch.rnn_tanh_cell
