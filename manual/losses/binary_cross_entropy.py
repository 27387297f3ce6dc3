"""Logistic loss from probabilities: what the course calls the cost of logistic regression.

Source: course week 2, "logistic regression cost function"; torch.nn.BCELoss, whose two clamps are
kept, because without them one saturated unit turns the whole run into infinities.
"""

import numpy as np

from torch_parity.manual.losses.reduction import Reduction, reduce, scale
from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_shape

LOG_FLOOR = -100.0  # torch.nn.BCELoss: "clamps its log function outputs to be >= -100"
# torch's backward divides by max(a (1 - a), 1e-12), and keeps that constant in float32 even for
# float64 tensors: 9.99999996e-13, which shows as 4e-9 in a saturated unit.
SLOPE_FLOOR = float(np.float32(1e-12))


@operation
def binary_cross_entropy(
    a: np.ndarray, y: np.ndarray, *, reduction: Reduction = "mean"
) -> np.ndarray:
    """loss = -mean(y log a + (1 - y) log(1 - a)), each log >= -100   # [m, n], [m, n] -> []

    Raises:
        ValueError: y is not shaped like a, a leaves [0, 1], or the reduction is unknown.
    """
    require_shape("binary_cross_entropy", "y", y, a.shape)
    if np.any((a.real < 0) | (a.real > 1)):  # NaN passes on: it is not this function's mistake
        raise ValueError(
            "binary_cross_entropy: a must lie in [0, 1]; for raw scores use "
            "binary_cross_entropy_with_logits"
        )
    with np.errstate(divide="ignore"):
        log_a, log_not_a = np.log(a), np.log1p(-a)
    losses = (y - 1) * np.maximum(log_not_a, LOG_FLOOR) - y * np.maximum(log_a, LOG_FLOOR)
    return reduce(losses, reduction)


def binary_cross_entropy_backward(
    a: np.ndarray, y: np.ndarray, *, reduction: Reduction = "mean"
) -> np.ndarray:
    """da = (a - y) / (a (1 - a)) / m                       # [m, n], [m, n] -> [m, n]

    a (1 - a) is held at SLOPE_FLOOR or more, as in torch; the clamp of the log is not
    differentiated there, and not here.
    """
    require_shape("binary_cross_entropy_backward", "y", y, a.shape)
    return scale(reduction, a.shape) * (a - y) / np.maximum(a * (1 - a), SLOPE_FLOOR)
