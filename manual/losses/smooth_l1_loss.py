"""Absolute error with a round bottom: squared below beta, so that its slope does not jump at 0.

Source: Girshick 2015, "Fast R-CNN"; torch.nn.SmoothL1Loss.
"""

import numpy as np

from torch_parity.manual.losses.reduction import Reduction, reduce, scale
from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_shape


@operation
def smooth_l1_loss(
    a: np.ndarray, y: np.ndarray, *, beta: float = 1.0, reduction: Reduction = "mean"
) -> np.ndarray:
    """loss = mean of (a - y)^2 / (2 beta) where |a - y| < beta, else of |a - y| - beta / 2

    # [m, n], [m, n] -> []

    Raises:
        ValueError: y is not shaped like a, beta is not positive, or the reduction is unknown.
    """
    require_shape("smooth_l1_loss", "y", y, a.shape)
    if beta <= 0:
        raise ValueError(f"smooth_l1_loss: beta is {beta}, expected more than 0; 0 is l1_loss")
    apart = a - y
    size = apart * np.sign(apart.real)
    losses = np.where(size.real < beta, 0.5 * size * size / beta, size - 0.5 * beta)
    return reduce(losses, reduction)


def smooth_l1_loss_backward(
    a: np.ndarray, y: np.ndarray, *, beta: float = 1.0, reduction: Reduction = "mean"
) -> np.ndarray:
    """da = (a - y) / beta where |a - y| < beta, else sign(a - y); over m n

    # [m, n], [m, n] -> [m, n]
    """
    require_shape("smooth_l1_loss_backward", "y", y, a.shape)
    apart = a - y
    slope = np.where(np.abs(apart) < beta, apart / beta, np.sign(apart))
    return scale(reduction, a.shape) * slope
