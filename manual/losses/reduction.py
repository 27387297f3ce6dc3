"""Where 1/m lives: once, in the loss, so that no other line of the network mentions it.

The course divides in dW instead, so its dZ is m times ours; its dW and db are the same.
"""

from typing import Literal

import numpy as np

Reduction = Literal["mean", "sum", "none"]


def scale(reduction: Reduction, count: int) -> float:
    """1/count for "mean", 1 for "sum": the factor that every gradient of the loss carries.

    Raises:
        ValueError: an unknown reduction; or "none", which leaves no single number to differentiate
            (torch's backward refuses it as well).
    """
    if reduction == "mean":
        return 1.0 / count
    if reduction == "sum":
        return 1.0
    raise ValueError(f'reduction is {reduction!r}, expected "mean" or "sum"')


def reduce(losses: np.ndarray, reduction: Reduction) -> np.ndarray:
    """The mean or the sum of all entries, a scalar of their type; "none" leaves them apart."""
    if reduction == "none":
        return losses
    return losses.sum() * scale(reduction, losses.size)
