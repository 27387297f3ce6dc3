"""A GRU over a whole sequence in torch; nn.GRU(batch_first=True) keeps the weights."""

from collections.abc import Callable

import torch
from torch import Tensor


def gru() -> Callable[..., tuple[Tensor, Tensor]]:
    """input, h_0, weight_ih, weight_hh, bias_ih, bias_hh -> output, h_n"""

    def apply(input: Tensor, h_0: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:  # noqa: A002
        output, h_n = torch.gru(
            input, h_0[None], weights, has_biases=True, num_layers=1, dropout=0.0, train=True,
            bidirectional=False, batch_first=True,
        )  # fmt: skip
        return output, h_n[0]

    return apply
