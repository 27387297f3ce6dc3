"""Is the backward pass the derivative of the forward pass? Nudge every number and look.

Slow (two forward passes a number), so it is for finding mistakes, not for training. It cannot work
while dropout draws new masks: hand the cost a fixed mask.

Source: course 2 week 1, "gradient checking"; torch.autograd.gradcheck.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from torch_parity.manual.names import COURSE

BANDS = (
    (1e-7, "very likely right"),
    (1e-5, "look closer"),
    (1e-3, "probably wrong"),
    (np.inf, "wrong"),
)


EPSILONS = tuple(10.0**-k for k in range(1, 14))
SHOWN = 3  # of the entries that contribute most, for each parameter


@dataclass(frozen=True)
class Contribution:
    """One entry's part in the difference: share = (g - n)^2 over the sum of all such squares."""

    parameter: str
    index: tuple[int, ...]
    given: float
    expected: float
    share: float


@dataclass(frozen=True)
class GradientCheck:
    """difference = |g - n| / (|g| + |n|) over all parameters at once, and per parameter.

    worst are the entries that contribute most to it, those of all parameters together.
    """

    difference: float
    per_parameter: dict[str, float]
    numerical: dict[str, np.ndarray]
    worst: tuple[Contribution, ...]

    @property
    def verdict(self) -> str:
        """The notes' bands: 1e-7, 1e-5, 1e-3. NaN is wrong."""
        return band(self.difference)


def band(difference: float) -> str:
    """What the notes say of a difference. NaN is wrong."""
    return next((words for limit, words in BANDS if difference < limit), "wrong")


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
    given = gradients_of(params, gradients)
    if cost(params) != cost(params):
        raise ValueError(
            "gradient_check: the cost of the same parameters changed between two calls; "
            "fix its dropout masks (or its NaN) first"
        )
    numerical = numerical_gradient(cost, params, epsilon)
    flat = _flat(given), _flat(numerical)
    total = float(((flat[0] - flat[1]) ** 2).sum())
    worst = [c for n in params for c in contributions(n, given[n], numerical[n], total)]
    return GradientCheck(
        difference=relative_norm(*flat),
        per_parameter={name: relative_norm(given[name], numerical[name]) for name in params},
        numerical=numerical,
        worst=tuple(sorted(worst, key=lambda c: c.share, reverse=True)[:SHOWN]),
    )


def epsilon_scan(
    cost: Callable[[Mapping[str, np.ndarray]], float],
    params: Mapping[str, np.ndarray],
    exact: Mapping[str, np.ndarray],
    epsilons: tuple[float, ...] = EPSILONS,
) -> dict[float, float]:
    """epsilon -> relative norm of the error of two-sided differences, against the exact gradient.

    On the one side truncation (it falls with epsilon^2), on the other rounding (it grows with
    1 / epsilon): the best epsilon lies between. exact is by parameter: W1, b1...
    """
    return {
        epsilon: relative_norm(_flat(numerical_gradient(cost, params, epsilon)), _flat(exact))
        for epsilon in epsilons
    }


def gradients_of(
    params: Mapping[str, np.ndarray],
    gradients: Mapping[str, np.ndarray],
    called: Callable[[str], str] = COURSE.gradient,
) -> dict[str, np.ndarray]:
    """The gradient of each parameter, under the parameter's name; called says what it is now.

    Raises:
        ValueError: there is no parameter, or a gradient is missing or has another shape.
    """
    if not params:
        raise ValueError("gradient_check: no parameters were given, so nothing would be checked")
    return {name: _gradient_of(called(name), name, p, gradients) for name, p in params.items()}


def contributions(
    name: str, given: np.ndarray, expected: np.ndarray, total: float | None = None
) -> tuple[Contribution, ...]:
    """The entries of one parameter that contribute most; NaN comes first.

    total is the sum of squares to take a share of; by default that of this parameter.
    """
    squares = np.nan_to_num((given - expected) ** 2, nan=np.inf, posinf=np.inf)
    total = float(squares.sum()) if total is None else total
    first = np.argsort(squares, axis=None)[::-1][:SHOWN]
    return tuple(
        Contribution(
            name,
            tuple(int(i) for i in index),
            float(given[index]),
            float(expected[index]),
            float(squares[index]) / total
            if 0 < total < np.inf
            else float(squares[index] == np.inf),
        )
        for index in (np.unravel_index(i, given.shape) for i in first)
        if squares[index] > 0
    )


def _gradient_of(
    called: str, name: str, parameter: np.ndarray, gradients: Mapping[str, np.ndarray]
) -> np.ndarray:
    gradient = gradients.get(called)
    if gradient is None:
        raise ValueError(f"gradient_check: no gradient for {name}; expected it as {called}")
    if gradient.shape != parameter.shape:
        raise ValueError(
            f"gradient_check: {called} has shape {gradient.shape}, expected {parameter.shape}"
        )
    return gradient


def _flat(tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([t.ravel() for t in tensors.values()])


def relative_norm(a: np.ndarray, b: np.ndarray) -> float:
    """|a - b| / (|a| + |b|); 0 where both are 0: then they agree, and it would be 0 / 0."""
    size = float(np.linalg.norm(a) + np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / size if size else 0.0
