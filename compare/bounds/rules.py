"""What each of NumPy's functions of numbers does to the bounds of its operands, and what it rounds
away itself.

Where an operand x may be anything from x - e to x + e, the greatest slope in between counts: it
lies at the end next to 0 (near) or at the other one (far).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from torch_parity.compare.bounds import exact

if TYPE_CHECKING:
    from torch_parity.compare.bounds.bounded import Bounded

# exp, log, tanh...: NumPy and torch promise less than 4 units in the last place, and 1 is 2u. A
# half's are those of float32, and one rounding.
FUNCTION_UNITS = 8


@dataclass(frozen=True)
class Rule:
    """carried(value, *operands) is the error of an exact function of operands with errors.

    The function itself rounds `units` times, each time u of `sizes` (of the result, unless told
    otherwise). No unit: the result is one of the operands' own numbers. `exact` says where nothing
    is rounded away after all, or None: nowhere.
    """

    carried: Callable[..., Any]
    units: float | Callable[..., Any] = 1.0
    sizes: Callable[..., Any] | None = None
    exact: Callable[..., Any] | None = None


def error_of(b: "Bounded", rule: Rule, value: np.ndarray, operands: "list[Bounded]") -> np.ndarray:
    """The error of a function's result; b has the units that it is judged in."""
    carried: Any = np.zeros(value.shape)
    if any(x.error.any() for x in operands):
        carried = np.asarray(rule.carried(value, *operands), np.float64)
        if not np.isfinite(carried.sum()):  # 0 * inf, or a number that may be anything
            known = reduce(np.logical_and, [x.error == 0 for x in operands])
            carried = np.where(known, 0.0, np.where(np.isnan(carried), np.inf, carried))
    if rule.units == 0:
        return np.asarray(carried)
    size = size_of(value) if rule.sizes is None else rule.sizes(b, value, *operands)
    units = rule.units(*operands) if callable(rule.units) else rule.units
    error = settled(b, value, carried, units, size)
    kept = rule.exact and rule.exact(b, value, *operands)
    return error if kept is None else np.where(kept, carried, error)


def settled(b: "Bounded", value: np.ndarray, carried: Any, units: Any, size: Any) -> np.ndarray:
    """What is carried, and what is rounded away: u of its size, or the last subnormal bit.

    The size of what is computed, which is the exact one and its error. Nothing times nothing is
    exactly nothing: no bit of it can have underflowed. An infinity that no error can undo is exact.
    """
    reach = size + carried
    some = (value != 0) | (reach > 0)  # a long double below all float64 is not nothing
    error = (b.u + (units - 1) * b.inner_u) * reach
    error += carried  # in place: this is most of what a replay costs
    error += b.tiny * some
    if not np.isfinite(error.sum()):
        certain = np.isinf(value) & np.isfinite(carried)
        error = np.where(certain, 0.0, np.where(np.isnan(error), np.inf, error))
    return np.asarray(error)


def size_of(x: np.ndarray) -> np.ndarray:
    """|x|, in float64."""
    return np.abs(x).astype(np.float64)


def near(x: "Bounded") -> np.ndarray:
    """The smallest |x| that x may have."""
    return np.maximum(size_of(x.value) - x.error, 0.0)


def far(x: "Bounded") -> np.ndarray:
    """The largest |x| that x may have."""
    return np.asarray(size_of(x.value) + x.error)


def _added(b: "Bounded", value: np.ndarray, x: "Bounded", y: "Bounded") -> Any:
    """Sums may be taken in another order, so what counts is the size of the terms, not of the sum.

    BLAS may begin a product's sum at the number that is added to it (torch's addmm does so with the
    bias), and then rounds at that number's size once a term.
    """
    sizes = size_of(x.value), size_of(y.value)
    begun: Any = 0.0
    for of, other in zip((x, y), reversed(sizes), strict=True):
        if np.any(of.begun):
            begun = begun + of.begun * other
    return sizes[0] + sizes[1] + begun / b.u


def _both(value: np.ndarray, x: "Bounded", y: "Bounded") -> Any:
    return x.error + y.error


def _carry(value: np.ndarray, x: "Bounded") -> Any:
    return x.error


def _multiply(value: np.ndarray, x: "Bounded", y: "Bounded") -> Any:
    """|x'y' - xy| <= |x| e_y + |y| e_x + e_x e_y; only another sign changes an infinity."""
    carried = size_of(x.value) * y.error + size_of(y.value) * x.error + x.error * y.error
    certain = np.isinf(value) & not_zero(x) & not_zero(y)
    return np.where(certain, 0.0, carried)


def _divide(value: np.ndarray, x: "Bounded", y: "Bounded") -> Any:
    """|x'/y' - x/y| <= (e_x + |x/y| e_y) / (|y| - e_y)"""
    left = size_of(y.value) - y.error
    carried = (x.error + size_of(value) * y.error) / left
    certain = np.isinf(x.value) & np.isfinite(x.error)
    return np.where(left > 0, np.where(certain, 0.0, carried), np.inf)


def not_zero(x: "Bounded") -> Any:
    """Where x is surely not 0, or is exactly what it is."""
    return (x.error == 0) | (x.error < size_of(x.value))


def _reciprocal(value: np.ndarray, x: "Bounded") -> Any:
    left = size_of(x.value) - x.error
    return np.where(left > 0, size_of(value) * x.error / left, np.inf)


def _square(value: np.ndarray, x: "Bounded") -> Any:
    return (2 * size_of(x.value) + x.error) * x.error


def _power(value: np.ndarray, x: "Bounded", y: "Bounded") -> Any:
    """x^c has its greatest slope |c| t^(c-1) at the far end if c >= 1, else at the near one; a
    root moves by no more than the root of e. A variable exponent moves log(x^y) = y log x."""
    c = y.value.astype(np.float64)
    steep = np.abs(c) * np.where(c >= 1, far(x), near(x)) ** (c - 1) * x.error
    steep = np.where((x.error == 0) | (c == 0), 0.0, steep)
    root = (c > 0) & (c < 1)
    constant = np.where(root, np.fmin(steep, x.error ** np.where(root, c, 1.0)), steep)
    if not y.error.any():
        return constant
    base = size_of(x.value)
    log_x = np.where(x.error < base, -np.log1p(-x.error / base), np.inf)
    moved = np.abs(c) * log_x + y.error * (np.abs(np.log(x.value)).astype(np.float64) + log_x)
    return np.where(y.error == 0, constant, size_of(value) * np.expm1(moved))


def _power_units(x: "Bounded", y: "Bounded") -> Any:
    """x^2 is one product; x^n may be n - 1 of them."""
    return np.where(y.value == 2, 1.0, np.maximum(size_of(y.value) + 1, FUNCTION_UNITS))


def _greater(value: np.ndarray, x: "Bounded", y: "Bounded") -> Any:
    surely_x, surely_y = (
        x.value - x.error >= y.value + y.error,
        y.value - y.error >= x.value + x.error,
    )
    return np.where(surely_x, x.error, np.where(surely_y, y.error, np.maximum(x.error, y.error)))


def _less(value: np.ndarray, x: "Bounded", y: "Bounded") -> Any:
    surely_x, surely_y = (
        x.value + x.error <= y.value - y.error,
        y.value + y.error <= x.value - x.error,
    )
    return np.where(surely_x, x.error, np.where(surely_y, y.error, np.maximum(x.error, y.error)))


def _sign(value: np.ndarray, x: "Bounded") -> Any:
    return np.where(not_zero(x), 0.0, 1 + np.abs(value))


def _exp_of(exp: np.ufunc, rate: float) -> Callable[..., Any]:
    """exp(x + e) - exp(x), written so that a tiny exp(x) and a huge e do not make 0 * inf."""
    return lambda value, x: exp(x.value + x.error) * -np.expm1(-rate * x.error)


def _log_of(inner: Callable[..., Any], rate: float) -> Callable[..., Any]:
    """|log x' - log x| <= e / (x - e); a number that may be 0 may have any logarithm."""

    def carried(value: np.ndarray, x: "Bounded") -> Any:
        size = size_of(inner(x.value))
        return np.where(x.error < size, x.error / (size - x.error) / rate, np.inf)

    return carried


def _sqrt(value: np.ndarray, x: "Bounded") -> Any:
    steep = np.where(value > 0, x.error / size_of(value), np.inf)
    return np.minimum(steep, np.sqrt(x.error))


def _logaddexp(value: np.ndarray, x: "Bounded", y: "Bounded") -> Any:
    """log(w_x e^e_x + w_y e^e_y), with the shares w that the two have in the sum"""
    shares = [np.exp(z.value - value).astype(np.float64) * np.expm1(z.error) for z in (x, y)]
    return np.fmin(np.log1p(shares[0] + shares[1]), np.maximum(x.error, y.error))


def _logaddexp_sizes(b: "Bounded", value: np.ndarray, x: "Bounded", y: "Bounded") -> Any:
    """max + log(1 + e^-d), d = |x - y|: the two may cancel, and d is rounded as well."""
    d = np.nan_to_num(size_of(x.value - y.value), nan=0.0, posinf=1e4)
    return size_of(value) + np.log1p(np.exp(-d)) + d * np.exp(-d)


def slope(of: Callable[..., Any]) -> Callable[..., Any]:
    """error = e * the greatest slope that x has between its ends."""
    return lambda value, x: of(x) * x.error


def _tanh(value: np.ndarray, x: "Bounded") -> Any:
    """tanh x - tanh y = sinh(x - y) / (cosh x cosh y), and never more than 2"""
    size = size_of(x.value)
    return np.fmin(np.sinh(x.error) / (np.cosh(size) * np.cosh(size - x.error)), 2.0)


def _sinh(value: np.ndarray, x: "Bounded") -> Any:
    """sinh(x + e) - sinh x = 2 cosh(x + e/2) sinh(e/2)"""
    return 2 * np.cosh(size_of(x.value) + x.error / 2) * np.sinh(x.error / 2)


def _cosh(value: np.ndarray, x: "Bounded") -> Any:
    """cosh(x + e) - cosh x = 2 sinh(x + e/2) sinh(e/2)"""
    return 2 * np.sinh(size_of(x.value) + x.error / 2) * np.sinh(x.error / 2)


def _tan(value: np.ndarray, x: "Bounded") -> Any:
    """|tan x' - tan x| = |sin(x' - x) / (cos x cos x')|, and |cos x'| >= |cos x| - e"""
    cos = size_of(np.cos(x.value))
    return np.where(x.error < cos, x.error / (cos * (cos - x.error)), np.inf)


def function(carried: Callable[..., Any]) -> Rule:
    """The rule of one function of a mathematical library."""
    return Rule(carried, FUNCTION_UNITS)


RULES: dict[np.ufunc, Rule] = {
    np.add: Rule(_both, sizes=_added, exact=exact.short),
    np.subtract: Rule(_both, exact=exact.short),
    np.multiply: Rule(_multiply, exact=exact.product),
    np.divide: Rule(_divide, exact=exact.quotient),
    np.reciprocal: Rule(_reciprocal),
    np.square: Rule(_square),
    np.power: Rule(_power, _power_units),
    np.float_power: Rule(_power, _power_units),
    np.sqrt: Rule(_sqrt),
    np.maximum: Rule(_greater, 0),
    np.minimum: Rule(_less, 0),
    np.fmax: Rule(_greater, 0),
    np.fmin: Rule(_less, 0),
    np.negative: Rule(_carry, 0),
    np.positive: Rule(_carry, 0),
    np.absolute: Rule(_carry, 0),
    np.fabs: Rule(_carry, 0),
    np.conjugate: Rule(_carry, 0),
    np.sign: Rule(_sign, 0),
    np.exp: function(_exp_of(np.exp, 1.0)),
    np.exp2: function(_exp_of(np.exp2, np.log(2))),
    np.expm1: function(_exp_of(np.exp, 1.0)),
    np.log: function(_log_of(np.positive, 1.0)),
    np.log2: function(_log_of(np.positive, np.log(2))),
    np.log10: function(_log_of(np.positive, np.log(10))),
    np.log1p: function(_log_of(lambda x: 1 + x, 1.0)),
    np.logaddexp: Rule(_logaddexp, FUNCTION_UNITS, _logaddexp_sizes),
    np.tanh: function(_tanh),
    np.sinh: function(_sinh),
    np.cosh: function(_cosh),
    np.sin: function(slope(lambda x: np.minimum(size_of(np.cos(x.value)) + x.error, 1.0))),
    np.cos: function(slope(lambda x: np.minimum(size_of(np.sin(x.value)) + x.error, 1.0))),
    np.tan: function(_tan),
    np.arctan: function(slope(lambda x: 1 / (1 + near(x) ** 2))),
}
