"""An LSTM over a whole sequence in torch; nn.LSTM(batch_first=True) keeps the weights."""

from collections.abc import Callable

import torch
from torch import Tensor


def lstm() -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """input, h_0, c_0, weight_ih, weight_hh, bias_ih, bias_hh -> output, h_n, c_n"""

    def apply(
        input: Tensor,  # noqa: A002  (torch's name)
        h_0: Tensor,
        c_0: Tensor,
        *weights: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        output, h_n, c_n = torch.lstm(
            input, (h_0[None], c_0[None]), weights, has_biases=True, num_layers=1, dropout=0.0,
            train=True, bidirectional=False, batch_first=True,
        )  # fmt: skip
        return output, h_n[0], c_n[0]

    return apply
