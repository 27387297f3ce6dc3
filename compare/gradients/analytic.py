"""Complex arrays of which np.var, np.std and np.linalg.norm are analytic.

A complex step needs a forward whose derivative survives complex numbers. These three take the
modulus of what they square, which loses it: here they are computed as for real numbers.
"""

from collections.abc import Callable
from typing import Any

import numpy as np


class Analytic(np.ndarray):
    """An array of complex numbers x + ih."""

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        if function in FORMULAS:
            return FORMULAS[function](*args, **kwargs)
        return super().__array_function__(function, types, args, kwargs)

    def var(self, *args: Any, **options: Any) -> Any:
        """np.var"""
        return _var(self, *args, **options)

    def std(self, *args: Any, **options: Any) -> Any:
        """np.std"""
        return _std(self, *args, **options)


def analytic(array: np.ndarray) -> np.ndarray:
    """As such an array, where it holds complex numbers."""
    return array.view(Analytic) if array.dtype.kind == "c" else array


def _var(
    a: Any, axis: Any = None, dtype: None = None, out: None = None, ddof: float = 0, **how: Any
) -> Any:
    apart = a - np.mean(a, axis=axis, keepdims=True)
    total = np.sum(apart * apart, axis=axis, **how)
    return total / (a.size / np.size(total) - ddof)


def _std(a: Any, *args: Any, **options: Any) -> Any:
    return np.sqrt(_var(a, *args, **options))


def _norm(x: Any, order: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if order not in (None, "fro"):
        raise TypeError(f"np.linalg.norm of order {order} is not derived here")
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


FORMULAS: dict[Callable[..., Any], Callable[..., Any]] = {
    np.var: _var,
    np.std: _std,
    np.linalg.norm: _norm,
}
