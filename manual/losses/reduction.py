"""Where 1/m lives: once, in the loss, so that no other line of the network mentions it.

The course divides in dW instead, so its dZ is m times ours; its dW and db are the same.
"""

import math
from typing import Literal

import numpy as np

Reduction = Literal["mean", "sum", "batchmean", "none"]


def scale(reduction: Reduction, shape: tuple[int, ...]) -> float:
    """The factor that every gradient of the loss carries: for losses of this shape, 1 over their
    number for "mean", 1 for "sum", and 1 over the number of samples for "batchmean".

    Raises:
        ValueError: an unknown reduction; or "none", which leaves no single number to differentiate
            (torch's backward refuses it as well).
    """
    if reduction == "mean":
        return 1.0 / math.prod(shape)
    if reduction == "batchmean":
        return 1.0 / shape[0]
    if reduction == "sum":
        return 1.0
    raise ValueError(f'reduction is {reduction!r}, expected "mean" or "sum" (or "batchmean")')


def reduce(losses: np.ndarray, reduction: Reduction) -> np.ndarray:
    """The mean or the sum of all entries, or their sum over the number of samples, a scalar of
    their type; "none" leaves them apart."""
    if reduction == "none":
        return losses
    return losses.sum() * scale(reduction, losses.shape)
