"""Hinge loss of several classes: the right class's score must beat every other by a margin.

This is what "hinge loss" means for classes (Weston and Watkins 1999; the SVM loss of CS231n), up to
torch's division by the number of classes. torch's HingeEmbeddingLoss is another thing: a loss of
distances.

Source: torch.nn.MultiMarginLoss, with p = 1.
"""

import numpy as np

from torch_parity.manual.losses.reduction import Reduction, reduce, scale
from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_classes, require_shape


@operation
def multi_margin_loss(
    z: np.ndarray, y: np.ndarray, *, margin: float = 1.0, reduction: Reduction = "mean"
) -> np.ndarray:
    """loss = mean_i(sum over k != y_i of max(0, margin - z_i,y_i + z_ik) / n)

    # [m, n], [m] of int -> []

    Raises:
        ValueError: y is not [m], is not of an integer type, or holds a class outside 0..n-1;
            or the reduction is unknown.
    """
    require_shape("multi_margin_loss", "y", y, z.shape[:1])
    require_classes("multi_margin_loss", z, y)
    short = _short(z, y, margin)
    return reduce(np.where(short.real > 0, short, 0).sum(axis=1) / z.shape[1], reduction)


def multi_margin_loss_backward(
    z: np.ndarray, y: np.ndarray, *, margin: float = 1.0, reduction: Reduction = "mean"
) -> np.ndarray:
    """dz_ik = 1 / (m n) for each k that is too near, and -1 / (m n) for z_i,y_i of each of them

    # [m, n], [m] of int -> [m, n]
    """
    require_shape("multi_margin_loss_backward", "y", y, z.shape[:1])
    require_classes("multi_margin_loss_backward", z, y)
    near = np.where(_short(z, y, margin) > 0, np.ones_like(z), 0)
    near[np.arange(len(y)), y] = -near.sum(axis=1)
    return near * (scale(reduction, y.shape) / z.shape[1])


def _short(z: np.ndarray, y: np.ndarray, margin: float) -> np.ndarray:
    """By how much each score comes too near to the right one's; 0 for that itself."""
    rows = np.arange(len(y))
    short = margin - z[rows, y][:, None] + z
    short[rows, y] = 0
    return short
