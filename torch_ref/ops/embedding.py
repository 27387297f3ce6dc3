"""Embedding in torch; nn.Embedding keeps the weight."""

from collections.abc import Callable
from functools import partial

from torch import Tensor
from torch.nn import functional as F


def embedding(padding_idx: int | None = None) -> Callable[[Tensor, Tensor], Tensor]:
    """out[..., :] = weight[input[...]]                         # [...], [symbols, n] -> [..., n]"""
    return partial(F.embedding, padding_idx=padding_idx)
