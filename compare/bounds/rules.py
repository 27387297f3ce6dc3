"""What each of NumPy's functions does to the bounds of its operands, and rounds away itself.

A rule is rule(any operand, the result's value, *operands) -> the result's error.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch_parity.compare.bounds.bounded import Bounded

# exp, log, tanh...: NumPy and torch promise less than 4 units in the last place, and 1 is 2u. A
# half's are those of float32, and one rounding.
FUNCTION_UNITS = 8

COMPARISONS = {np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal}


def _size(x: np.ndarray) -> np.ndarray:
    return np.abs(x).astype(np.float64)


def _rounded(b: "Bounded", value: np.ndarray, units: float = 1) -> np.ndarray:
    """What the operation itself rounds away: one u of its result, or the last subnormal bit."""
    return np.asarray((b.u + (units - 1) * b.inner_u) * _size(value) + b.tiny)


def _add(b: "Bounded", value: np.ndarray, x: "Bounded", y: "Bounded") -> np.ndarray:
    """Sums may be taken in another order, so what counts is the size of the terms, not of the sum.

    BLAS may begin a product's sum at the number that is added to it (torch's addmm does so with the
    bias), and then rounds at that number's size once a term.
    """
    sizes = _size(x.value), _size(y.value)
    begun = x.begun * sizes[1] + y.begun * sizes[0]
    return np.asarray(x.error + y.error + begun + b.u * (sizes[0] + sizes[1]))


def _subtract(b: "Bounded", value: np.ndarray, x: "Bounded", y: "Bounded") -> np.ndarray:
    return np.asarray(x.error + y.error + _rounded(b, value))


def _multiply(b: "Bounded", value: np.ndarray, x: "Bounded", y: "Bounded") -> np.ndarray:
    """Nothing times nothing is exactly nothing: no bit of it can have underflowed."""
    carried = _size(x.value) * y.error + _size(y.value) * x.error + x.error * y.error
    return np.asarray(carried + np.where((value == 0) & (carried == 0), 0.0, _rounded(b, value)))


def _divide(b: "Bounded", value: np.ndarray, x: "Bounded", y: "Bounded") -> np.ndarray:
    left = _size(y.value) - y.error
    carried = (x.error + _size(value) * y.error) / left
    return np.asarray(np.where(left > 0, carried + _rounded(b, value), np.inf))


def _power(b: "Bounded", value: np.ndarray, x: "Bounded", y: "Bounded") -> np.ndarray:
    if np.all(y.value == 2):
        return _multiply(b, value, x, x)
    n = float(y.value.flat[0])
    if not np.all(y.value == n) or n != int(n) or n < 1:
        raise NotImplementedError("only whole positive powers have a rounding bound")
    carried = n * (_size(x.value) + x.error) ** (n - 1) * x.error
    return np.asarray(carried + _rounded(b, value, FUNCTION_UNITS))


def _maximum(b: "Bounded", value: np.ndarray, x: "Bounded", y: "Bounded") -> np.ndarray:
    surely_x, surely_y = x.value - x.error >= y.value + y.error, y.value >= x.value + x.error
    either = np.maximum(x.error, y.error)
    return np.where(surely_x, x.error, np.where(surely_y, y.error, either))


def _carry(b: "Bounded", value: np.ndarray, x: "Bounded") -> np.ndarray:
    return x.error


def _sign(b: "Bounded", value: np.ndarray, x: "Bounded") -> np.ndarray:
    return np.where(_size(x.value) >= x.error, 0.0, 2.0)


def _exp(b: "Bounded", value: np.ndarray, x: "Bounded") -> np.ndarray:
    # e^(x + error) - e^x, written so that a tiny e^x and a huge error do not make 0 * inf
    carried = np.exp(x.value + x.error) * -np.expm1(-x.error)
    return np.asarray(carried.astype(np.float64) + _rounded(b, value, FUNCTION_UNITS))


def _log(b: "Bounded", value: np.ndarray, x: "Bounded") -> np.ndarray:
    return _log_of(b, value, _size(x.value), x.error)


def _log1p(b: "Bounded", value: np.ndarray, x: "Bounded") -> np.ndarray:
    return _log_of(b, value, _size(1 + x.value), x.error)


def _log_of(b: "Bounded", value: np.ndarray, x: np.ndarray, error: np.ndarray) -> np.ndarray:
    """log 0 is -inf without any error; a number that may be 0 may have any logarithm."""
    carried = np.where(error < x, error / (x - error), np.inf)
    rounded = np.where(np.isfinite(value), _rounded(b, value, FUNCTION_UNITS), 0.0)
    return np.where(error == 0, rounded, carried + rounded)


def _sqrt(b: "Bounded", value: np.ndarray, x: "Bounded") -> np.ndarray:
    steep = np.where(value > 0, x.error / _size(value), np.inf)
    return np.asarray(np.minimum(steep, np.sqrt(x.error)) + _rounded(b, value))


def _tanh(b: "Bounded", value: np.ndarray, x: "Bounded") -> np.ndarray:
    return np.asarray(x.error + _rounded(b, value, FUNCTION_UNITS))


def erf_error(b: "Bounded", value: np.ndarray, x: "Bounded") -> np.ndarray:
    """The steepest slope within reach carries the error on."""
    nearest = np.maximum(_size(x.value) - x.error, 0)
    slope = 2 / np.sqrt(np.pi) * np.exp(-(nearest**2))
    return np.asarray(slope * x.error + _rounded(b, value, FUNCTION_UNITS))


RULES: dict[np.ufunc, Callable[..., np.ndarray]] = {
    np.add: _add,
    np.subtract: _subtract,
    np.multiply: _multiply,
    np.divide: _divide,
    np.power: _power,
    np.maximum: _maximum,
    np.negative: _carry,
    np.absolute: _carry,
    np.sign: _sign,
    np.exp: _exp,
    np.log: _log,
    np.log1p: _log1p,
    np.sqrt: _sqrt,
    np.tanh: _tanh,
}
