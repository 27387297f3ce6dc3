"""Softmax loss straight from z, for one class index a sample, or one for each position of it.

Source: course 2 week 3, "training a softmax classifier"; torch.nn.CrossEntropyLoss.
"""

import numpy as np

from torch_parity.manual.losses.reduction import Reduction, reduce, scale
from torch_parity.manual.ops.softmax import softmax
from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_shape


@operation
def cross_entropy(z: np.ndarray, y: np.ndarray, *, reduction: Reduction = "mean") -> np.ndarray:
    """loss = mean_i(log sum_k e^z_ik - z_i,y_i)            # [m, n], [m] of int -> []

    Of sequences the mean is over every position: [m, n, t], [m, t] of int -> []. As in torch, the
    scores of the classes stand on axis 1.

    Raises:
        ValueError: y is not [m] (or [m, t]), is not of an integer type, or holds a class outside
            0..n-1; or the reduction is unknown.
    """
    _require_classes("cross_entropy", z, y)
    shifted = z - z.real.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    return reduce(log_sum - shifted[_own_class(y)], reduction)


def cross_entropy_backward(
    z: np.ndarray, y: np.ndarray, *, reduction: Reduction = "mean"
) -> np.ndarray:
    """dz = (softmax(z) - onehot(y)) / m                    # [m, n], [m] of int -> [m, n]"""
    _require_classes("cross_entropy_backward", z, y)
    dz = softmax(z)
    dz[_own_class(y)] -= 1
    return dz * scale(reduction, y.shape)


def _own_class(y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Where in z the score of each label's class stands."""
    places: np.ndarray = np.indices(y.shape)
    return (places[0], y, *places[1:])


def _require_classes(function: str, z: np.ndarray, y: np.ndarray) -> None:
    """A negative class would silently index from the end."""
    require_shape(function, "y", y, z.shape[:1] + z.shape[2:])
    if y.dtype.kind not in "iu":
        raise ValueError(f"{function}: y is {y.dtype}, expected class indices of an integer type")
    if y.size and not 0 <= y.min() <= y.max() < z.shape[1]:
        raise ValueError(
            f"{function}: y holds classes {y.min()}..{y.max()}, expected 0..{z.shape[1] - 1}"
        )
