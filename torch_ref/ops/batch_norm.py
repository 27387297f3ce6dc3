"""Batch norm in torch; nn.BatchNorm1d and 2d keep the weight, the bias and the running statistics.

torch overwrites the running statistics; here they are a value in and a value out.
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F


def batch_norm(
    training: bool, momentum: float = 0.1, eps: float = 1e-5
) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """out = (input - mean) / sqrt(var + eps) * weight + bias   # [m, c, ...], four times [c]"""

    def apply(
        input: Tensor,  # noqa: A002  (torch's name)
        running_mean: Tensor,
        running_var: Tensor,
        weight: Tensor,
        bias: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean, var = running_mean.clone(), running_var.clone()
        out = F.batch_norm(input, mean, var, weight, bias, training, momentum, eps)
        return out, mean, var

    return apply
