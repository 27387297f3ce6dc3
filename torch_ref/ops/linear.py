"""The affine map in torch: weight and bias belong to the module, autograd computes the backward."""

from torch import nn


def linear(n_in: int, n_out: int) -> nn.Linear:
    """z = x @ weight.T + bias, weight (n_out, n_in)            # [m, in] -> [m, out]"""
    return nn.Linear(n_in, n_out)
