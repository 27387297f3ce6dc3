"""Is the backward pass the derivative of the forward pass? Nudge every number and look.

Slow (two forward passes a number), so it is for finding mistakes, not for training. It cannot work
while dropout draws new masks: hand the cost a fixed mask.

Source: course 2 week 1, "gradient checking"; torch.autograd.gradcheck.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

BANDS = (
    (1e-7, "very likely right"),
    (1e-5, "look closer"),
    (1e-3, "probably wrong"),
    (np.inf, "wrong"),
)


@dataclass(frozen=True)
class GradientCheck:
    """difference = |g - n| / (|g| + |n|) over all parameters at once, and per parameter."""

    difference: float
    per_parameter: dict[str, float]
    numerical: dict[str, np.ndarray]

    @property
    def verdict(self) -> str:
        """The notes' bands: 1e-7, 1e-5, 1e-3. NaN is wrong."""
        return next((words for limit, words in BANDS if self.difference < limit), "wrong")


def numerical_gradient(
    cost: Callable[[Mapping[str, np.ndarray]], float],
    params: Mapping[str, np.ndarray],
    epsilon: float = 1e-5,
) -> dict[str, np.ndarray]:
    """(cost(p + epsilon) - cost(p - epsilon)) / (2 epsilon), entry by entry.

    The course uses epsilon = 1e-7; in float64 the error is least near 1e-5, where truncation
    (epsilon^2) meets rounding (1e-16 / epsilon). params is not changed.
    """
    gradients = {}
    for name, original in params.items():
        moved = original.copy()
        nudged = {**params, name: moved}
        gradient = np.empty_like(original)
        for i in np.ndindex(original.shape):
            moved[i] = original[i] + epsilon
            above = cost(nudged)
            moved[i] = original[i] - epsilon
            below = cost(nudged)
            moved[i] = original[i]
            gradient[i] = (above - below) / (2 * epsilon)
        gradients[name] = gradient
    return gradients


def gradient_check(
    cost: Callable[[Mapping[str, np.ndarray]], float],
    params: Mapping[str, np.ndarray],
    gradients: Mapping[str, np.ndarray],
    epsilon: float = 1e-5,
) -> GradientCheck:
    """Hold the gradients (dW1, db1... for parameters W1, b1...) to central differences.

    Raises:
        ValueError: there is nothing to check, a gradient is missing or has another shape, or the
            cost is random (two calls on the same parameters differ).
    """
    given = {name: _gradient_of(name, p, gradients) for name, p in params.items()}
    if not given:
        raise ValueError("gradient_check: no parameters were given, so nothing would be checked")
    if cost(params) != cost(params):
        raise ValueError(
            "gradient_check: the cost of the same parameters changed between two calls; "
            "fix its dropout masks (or its NaN) first"
        )
    numerical = numerical_gradient(cost, params, epsilon)
    return GradientCheck(
        difference=_relative(_flat(given), _flat(numerical)),
        per_parameter={name: _relative(given[name], numerical[name]) for name in params},
        numerical=numerical,
    )


def _gradient_of(
    name: str, parameter: np.ndarray, gradients: Mapping[str, np.ndarray]
) -> np.ndarray:
    gradient = gradients.get("d" + name)
    if gradient is None:
        raise ValueError(f"gradient_check: no gradient for {name}; expected it as d{name}")
    if gradient.shape != parameter.shape:
        raise ValueError(
            f"gradient_check: d{name} has shape {gradient.shape}, expected {parameter.shape}"
        )
    return gradient


def _flat(tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([t.ravel() for t in tensors.values()])


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    """0 only where both are 0: then they agree, and the quotient would be 0 / 0."""
    size = float(np.linalg.norm(a) + np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / size if size else 0.0
