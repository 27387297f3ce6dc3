"""Squared error that goes on as a straight line beyond delta: delta times smooth_l1_loss.

Source: Huber 1964, "Robust estimation of a location parameter"; torch.nn.HuberLoss.
"""

import numpy as np

from torch_parity.manual.losses.reduction import Reduction, reduce, scale
from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_shape


@operation
def huber_loss(
    a: np.ndarray, y: np.ndarray, *, delta: float = 1.0, reduction: Reduction = "mean"
) -> np.ndarray:
    """loss = mean of (a - y)^2 / 2 where |a - y| <= delta, else of delta (|a - y| - delta / 2)

    # [m, n], [m, n] -> []

    Raises:
        ValueError: y is not shaped like a, delta is not positive, or the reduction is unknown.
    """
    require_shape("huber_loss", "y", y, a.shape)
    if delta <= 0:
        raise ValueError(f"huber_loss: delta is {delta}, expected more than 0")
    apart = a - y
    size = apart * np.sign(apart.real)
    losses = np.where(size.real <= delta, 0.5 * size * size, delta * (size - 0.5 * delta))
    return reduce(losses, reduction)


def huber_loss_backward(
    a: np.ndarray, y: np.ndarray, *, delta: float = 1.0, reduction: Reduction = "mean"
) -> np.ndarray:
    """da = a - y where |a - y| <= delta, else delta sign(a - y); over m n

    # [m, n], [m, n] -> [m, n]
    """
    require_shape("huber_loss_backward", "y", y, a.shape)
    apart = a - y
    slope = np.where(np.abs(apart) <= delta, apart, delta * np.sign(apart))
    return scale(reduction, a.shape) * slope
