"""Functions with a rule that are met less often: inverse functions, whole numbers, scipy.special's;
and where the rule of any function is found."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from torch_parity.compare.bounds.rules import (
    FUNCTION_UNITS,
    RULES,
    Rule,
    far,
    function,
    near,
    not_zero,
    size_of,
    slope,
)

if TYPE_CHECKING:
    from torch_parity.compare.bounds.bounded import Bounded


def _expit(value: np.ndarray, x: "Bounded") -> Any:
    """expit(x) = (1 + tanh(x / 2)) / 2"""
    half, e = size_of(x.value) / 2, x.error / 2
    return np.fmin(np.sinh(e) / (np.cosh(half) * np.cosh(half - e)) / 2, 1.0)


def _erf(value: np.ndarray, x: "Bounded") -> Any:
    """The slope is the bell b(t) at the end next to 0, and erfc(t) is below b(t) / 2t."""
    t = near(x)
    bell = 2 / np.sqrt(np.pi) * np.exp(-(t * t))
    return bell * np.minimum(x.error, 0.5 / t)


def _erfc_sizes(b: "Bounded", value: np.ndarray, x: "Bounded") -> Any:
    """e^(-x^2) is a factor of it, and x^2 is rounded."""
    square = np.maximum(x.value, 0.0).astype(np.float64) ** 2
    return size_of(value) * (1 + square / FUNCTION_UNITS)


def _erfinv(value: np.ndarray, x: "Bounded") -> Any:
    """The slope sqrt(pi)/2 e^(y^2) is greatest at the far end."""
    end = size_of(value) + np.sqrt(np.pi) / 2 * np.exp(size_of(value) ** 2) * x.error
    return np.where(far(x) < 1, np.sqrt(np.pi) / 2 * np.exp(end**2) * x.error, np.inf)


def _arcsin(value: np.ndarray, x: "Bounded") -> Any:
    """The slope 1 / sqrt(1 - t^2) at the far end; and no move of x moves it by more than
    2 arcsin(sqrt(e / 2))."""
    room = np.maximum(1 - far(x) ** 2, 0.0)
    most = 2 * np.arcsin(np.sqrt(np.minimum(x.error / 2, 1.0)))
    return np.fmin(np.where(room > 0, x.error / np.sqrt(room), np.inf), most)


def _arccosh(value: np.ndarray, x: "Bounded") -> Any:
    """The slope 1 / sqrt(t^2 - 1) at the near end"""
    room = np.maximum(near(x) ** 2 - 1, 0.0)
    return np.where(room > 0, x.error / np.sqrt(room), np.inf)


def _arctanh(value: np.ndarray, x: "Bounded") -> Any:
    """The slope 1 / (1 - t^2) at the far end"""
    room = 1 - far(x) ** 2
    return np.where(room > 0, x.error / room, np.inf)


def _arctan2(value: np.ndarray, y: "Bounded", x: "Bounded") -> Any:
    """No point of a circle around (x, y) is seen at more than arcsin(radius / distance), unless
    the angle jumps from -pi to pi in it."""
    radius = np.hypot(x.error, y.error)
    distance = np.hypot(size_of(x.value), size_of(y.value))
    jumps = (x.value - x.error < 0) & (size_of(y.value) <= y.error) & (radius > 0)
    ratio = np.where(distance > 0, radius / distance, np.inf)
    seen = np.arcsin(np.minimum(ratio, 1.0))
    return np.where(jumps | (ratio >= 1), np.where(radius > 0, 2 * np.pi, 0.0), seen)


def _stepped(step: np.ufunc) -> Callable[..., Any]:
    """floor and the like are monotone: the two ends show how far the result may move."""

    def carried(value: np.ndarray, x: "Bounded") -> Any:
        up, down = step(x.value + x.error) - value, value - step(x.value - x.error)
        return np.maximum(up, down).astype(np.float64)

    return carried


def _remainder(value: np.ndarray, x: "Bounded", y: "Bounded") -> Any:
    """x - q y moves by e_x + |q| e_y while the whole number q stays."""
    q = np.floor(size_of(x.value) / size_of(y.value))
    moved = x.error + (q + 1) * y.error
    inside = np.minimum(size_of(value), size_of(y.value) - size_of(value)) > moved
    return np.where(inside, moved, np.where(moved > 0, 2 * size_of(y.value) + moved, 0.0))


def _copysign(value: np.ndarray, x: "Bounded", y: "Bounded") -> Any:
    return np.where(not_zero(y), x.error, 2 * size_of(x.value) + x.error)


OTHERS: dict[np.ufunc, Rule] = {
    np.arcsin: function(_arcsin),
    np.arccos: function(_arcsin),
    np.arcsinh: function(slope(lambda x: 1 / np.sqrt(1 + near(x) ** 2))),
    np.arccosh: function(_arccosh),
    np.arctanh: function(_arctanh),
    np.arctan2: function(_arctan2),
    np.hypot: Rule(lambda value, x, y: np.hypot(x.error, y.error), 4.0),
    np.copysign: Rule(_copysign, 0),
    np.fmod: Rule(_remainder, 0),
    np.remainder: Rule(_remainder),
    np.floor: Rule(_stepped(np.floor), 0),
    np.ceil: Rule(_stepped(np.ceil), 0),
    np.rint: Rule(_stepped(np.rint), 0),
    np.trunc: Rule(_stepped(np.trunc), 0),
}

# scipy.special's, by name: importing scipy takes long, and who calls one has done so
SPECIAL: dict[str, Rule] = {
    "erf": function(_erf),
    "erfc": Rule(_erf, FUNCTION_UNITS, _erfc_sizes),
    "expit": function(_expit),
    "erfinv": function(_erfinv),
}


def rule_of(ufunc: np.ufunc) -> Rule | None:
    """The rule of one of NumPy's or scipy.special's functions of numbers."""
    found = RULES.get(ufunc) or OTHERS.get(ufunc)
    if found is not None or ufunc.__name__ not in SPECIAL:
        return found
    import scipy.special

    ours = getattr(scipy.special, ufunc.__name__) is ufunc
    return SPECIAL[ufunc.__name__] if ours else None
