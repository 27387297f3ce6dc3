"""Softmax loss straight from z, for one class index a sample, or one for each position of it.

Source: course 2 week 3, "training a softmax classifier"; Szegedy et al. 2016 (label smoothing);
torch.nn.CrossEntropyLoss.
"""

import math
from typing import Any

import numpy as np

from torch_parity.manual.losses.reduction import Reduction, reduce, scale
from torch_parity.manual.ops.softmax import softmax
from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_classes

Weights = tuple[float, ...] | None


@operation
def cross_entropy(
    z: np.ndarray,
    y: np.ndarray,
    *,
    weight: Weights = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> np.ndarray:
    """loss = mean_i(log sum_k e^z_ik - z_i,y_i)            # [m, n], [m] of int -> []

    With l_ik = log sum_j e^z_ij - z_ik, a weight w_k for each class and label smoothing s, a sample
    loses (1 - s) w_y l_iy + s / n sum_k w_k l_ik. Samples of the class ignore_index lose nothing.
    The mean is a weighted one: the sum of what the samples lose over the sum of their w_y, without
    those that are ignored. If all are, it is NaN, as in torch.

    Of sequences the mean is over every position: [m, n, t], [m, t] of int -> []. As in torch, the
    scores of the classes stand on axis 1.

    Raises:
        ValueError: y is not [m] (or [m, t]), is not of an integer type, or holds a class outside
            0..n-1; weight has not one number for each class; or the reduction is unknown.
    """
    counted = y != ignore_index
    classes = np.where(counted, y, 0)
    require_classes("cross_entropy", z, classes)
    shifted = z - z.real.max(axis=1, keepdims=True)
    each = np.log(np.exp(shifted).sum(axis=1, keepdims=True)) - shifted
    losses, w = each[_own_class(classes)], _class_weights(z, weight)
    if weight is not None:
        losses = w[classes] * losses
    if label_smoothing:
        uniform = (each if weight is None else _on_classes(w, z) * each).sum(axis=1)
        losses = (1 - label_smoothing) * losses + label_smoothing / z.shape[1] * uniform
    losses = np.where(counted, losses, 0)
    if reduction != "mean":
        return reduce(losses, reduction)
    return losses.sum() * _scale(counted, classes, w, reduction)


def cross_entropy_backward(
    z: np.ndarray,
    y: np.ndarray,
    *,
    weight: Weights = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> np.ndarray:
    """dz = (softmax(z) - onehot(y)) / m                    # [m, n], [m] of int -> [m, n]

    With weights and smoothing the numerator is (1 - s) w_y (softmax(z) - onehot(y)) +
    s / n (softmax(z) sum_k w_k - w), and the divisor sum_i w_yi; rows that are ignored are 0.
    """
    counted = y != ignore_index
    classes = np.where(counted, y, 0)
    require_classes("cross_entropy_backward", z, classes)
    w = _class_weights(z, weight)
    p = softmax(z)
    dz = p.copy()
    dz[_own_class(classes)] -= 1
    if weight is not None:
        dz = np.expand_dims(w[classes], 1) * dz
    if label_smoothing:
        total, own = (z.shape[1], 1) if weight is None else (w.sum(), _on_classes(w, z))
        dz = (1 - label_smoothing) * dz + label_smoothing / z.shape[1] * (p * total - own)
    return np.where(np.expand_dims(counted, 1), dz * _scale(counted, classes, w, reduction), 0)


def _class_weights(z: np.ndarray, weight: Weights) -> Any:
    """One number for each class, of the type of z; None where all classes count alike.

    Raises:
        ValueError: there are more or fewer numbers than classes.
    """
    if weight is None:
        return None
    if len(weight) != z.shape[1]:
        raise ValueError(f"weight has {len(weight)} numbers, for {z.shape[1]} classes")
    w = np.zeros_like(z, shape=(len(weight),))
    w[...] = np.asarray(weight, z.dtype)
    return w


def _own_class(y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Where in z the score of each label's class stands."""
    places: list[np.ndarray] = list(np.indices(y.shape))
    return (places[0], y, *places[1:])


def _on_classes(w: Any, z: np.ndarray) -> Any:
    """One number for each class, to be multiplied with z."""
    return w.reshape(-1, *(1,) * (z.ndim - 2))


def _scale(counted: np.ndarray, classes: np.ndarray, w: Any, reduction: Reduction) -> Any:
    """The factor of every sample's loss."""
    if reduction != "mean":
        return scale(reduction, classes.shape)
    if not counted.any():
        return math.nan
    return 1 / (counted.sum().item() if w is None else np.where(counted, w[classes], 0).sum())
