"""The step that batch, layer and group norm share: numbers less their mean, over their deviation.

Which numbers share a mean is all that the three differ in.
"""

import numpy as np

Axes = tuple[int, ...]


def standardized(x: np.ndarray, axes: Axes, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """xhat = (x - mean) / std,  std = sqrt(var + eps)          # -> xhat, std

    var is divided by n, not by n - 1; eps is under the root. std keeps the axes, with length 1.
    """
    centred = x - x.mean(axis=axes, keepdims=True)
    std = np.sqrt((centred * centred).mean(axis=axes, keepdims=True) + eps)
    return centred / std, std


def standardized_backward(
    dxhat: np.ndarray, xhat: np.ndarray, std: np.ndarray, axes: Axes
) -> np.ndarray:
    """dx = (dxhat - mean(dxhat) - xhat mean(dxhat xhat)) / std

    The first mean comes through x's mean, the second through its deviation: dx is what is left of
    dxhat once a common shift and a common scale, which xhat does not depend on, are taken out.
    """
    shift = dxhat.mean(axis=axes, keepdims=True)
    scale = (dxhat * xhat).mean(axis=axes, keepdims=True)
    dx = dxhat - shift
    dx -= xhat * scale
    dx /= std
    return dx
