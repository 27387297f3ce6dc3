"""The length of all gradients together, in torch.

torch.nn.utils.get_total_norm computes the same, without a gradient of its own.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.linalg import vector_norm


def get_total_norm() -> Callable[..., Tensor]:
    """total_norm = sqrt(sum of the squares of all numbers of all tensors)     # any shapes -> []"""
    return lambda *tensors: vector_norm(torch.stack([vector_norm(x) for x in tensors]))
