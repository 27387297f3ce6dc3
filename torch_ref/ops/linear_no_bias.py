"""The affine map without its bias in torch."""

from torch import nn


def linear_no_bias(n_in: int, n_out: int) -> nn.Linear:
    """z = x @ weight.T, weight (n_out, n_in)                   # [m, in] -> [m, out]"""
    return nn.Linear(n_in, n_out, bias=False)
