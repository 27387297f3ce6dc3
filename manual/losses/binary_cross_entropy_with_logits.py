"""Logistic loss straight from z: sigmoid and log in one, so that neither can saturate.

Source: course week 2, "logistic regression cost function"; torch.nn.BCEWithLogitsLoss.
"""

import numpy as np

from torch_parity.manual.losses.reduction import Reduction, reduce, scale
from torch_parity.manual.ops.sigmoid import sigmoid
from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_shape


@operation
def binary_cross_entropy_with_logits(
    z: np.ndarray, y: np.ndarray, *, reduction: Reduction = "mean"
) -> np.ndarray:
    """loss = mean((1 - y) z + max(-z, 0) + log(1 + e^-|z|))   # [m, n], [m, n] -> []

    In torch's order, which for y = 0 cancels z against max(-z, 0): a loss far below |z| keeps only
    the digits that |z| leaves it.

    Raises:
        ValueError: y is not shaped like z, or the reduction is unknown.
    """
    require_shape("binary_cross_entropy_with_logits", "y", y, z.shape)
    magnitude = np.where(z.real >= 0, z, -z)
    losses = (1 - y) * z + (np.maximum(-z, 0) + np.log1p(np.exp(-magnitude)))
    return reduce(losses, reduction)


def binary_cross_entropy_with_logits_backward(
    z: np.ndarray, y: np.ndarray, *, reduction: Reduction = "mean"
) -> np.ndarray:
    """dz = (sigmoid(z) - y) / m                            # [m, n], [m, n] -> [m, n]"""
    require_shape("binary_cross_entropy_with_logits_backward", "y", y, z.shape)
    return scale(reduction, z.shape) * (sigmoid(z) - y)
