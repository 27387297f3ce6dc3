"""Absolute error, for targets that are numbers: an outlier weighs only as much as it is far away.

Source: torch.nn.L1Loss.
"""

import numpy as np

from torch_parity.manual.losses.reduction import Reduction, reduce, scale
from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_shape


@operation
def l1_loss(a: np.ndarray, y: np.ndarray, *, reduction: Reduction = "mean") -> np.ndarray:
    """loss = mean(|a - y|) over every entry                # [m, n], [m, n] -> []

    Raises:
        ValueError: y is not shaped like a, or the reduction is unknown.
    """
    require_shape("l1_loss", "y", y, a.shape)
    apart = a - y
    return reduce(apart * np.sign(apart.real), reduction)


def l1_loss_backward(a: np.ndarray, y: np.ndarray, *, reduction: Reduction = "mean") -> np.ndarray:
    """da = sign(a - y) / (m n), with sign(0) = 0 as in torch   # [m, n], [m, n] -> [m, n]"""
    require_shape("l1_loss_backward", "y", y, a.shape)
    return scale(reduction, a.shape) * np.sign(a - y)
