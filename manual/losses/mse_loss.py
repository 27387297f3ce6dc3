"""Squared error, for targets that are numbers instead of classes.

Source: course week 2 (the loss that logistic regression does not use, and why);
torch.nn.MSELoss.
"""

import numpy as np

from torch_parity.manual.losses.reduction import Reduction, reduce, scale
from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_shape


@operation
def mse_loss(a: np.ndarray, y: np.ndarray, *, reduction: Reduction = "mean") -> np.ndarray:
    """loss = mean((a - y)^2) over every entry              # [m, n], [m, n] -> []

    There is no 1/2, as in torch.

    Raises:
        ValueError: y is not shaped like a, or the reduction is unknown.
    """
    require_shape("mse_loss", "y", y, a.shape)
    return reduce((a - y) ** 2, reduction)


def mse_loss_backward(a: np.ndarray, y: np.ndarray, *, reduction: Reduction = "mean") -> np.ndarray:
    """da = 2 (a - y) / (m n)                               # [m, n], [m, n] -> [m, n]"""
    require_shape("mse_loss_backward", "y", y, a.shape)
    return 2 * scale(reduction, a.shape) * (a - y)
