"""One step of an LSTM in torch; nn.LSTMCell keeps the weights."""

from collections.abc import Callable

import torch
from torch import Tensor


def lstm_cell() -> Callable[..., tuple[Tensor, Tensor]]:
    """input, h, c, weight_ih, weight_hh, bias_ih, bias_hh -> h_next, c_next"""
    return lambda input, h, c, *weights: torch.lstm_cell(input, (h, c), *weights)  # noqa: A006
