"""The hand-written erf: against 60 digits of mpmath, and its rounding bound by hand."""

import mpmath
import numpy as np
import pytest
import scipy.special
from mpmath import mpf

from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.rules import FUNCTION_UNITS
from torch_parity.manual.erf import BLOCK, LARGEST, POLYNOMIALS, argument_of_tanh, erf

mpmath.mp.dps = 60

both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def places(dtype: str) -> np.ndarray:
    """From where erf is a straight line to where it is 1, closer together near 0."""
    x = (1.03 * LARGEST * np.linspace(0, 1, 601)[1:] ** 2).astype(dtype)
    return np.concatenate([np.array([1e-30, 1e-7, 1e-3], dtype), x])


def polynomial_and_units(c: tuple[float, ...], y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Horner's rule, and how many units its roundings and that of y = x^2 make at most.

    A product with y rounds once, and y itself was rounded once; a sum rounds once. All numbers are
    positive, so that no rounding grows.
    """
    total = c[-1] * y
    lost = 2 * total
    for coefficient in c[-2:0:-1]:
        total = total + coefficient
        lost = lost + total
        total, lost = total * y, lost * y + 2 * total * y
    total = total + c[0]
    return total, (lost + total) / total


@both_dtypes
def test_its_roundings_and_its_approximation_are_within_the_bound_of_erf(dtype: str) -> None:
    """Even if tanh is off by all that FUNCTION_UNITS allows it."""
    x, unit = places(dtype), np.finfo(dtype).eps / 2
    p, q = (tuple(float(np.dtype(dtype).type(c)) for c in cs) for cs in POLYNOMIALS[x.dtype])
    inside = np.minimum(x.astype(float), LARGEST)
    of_p, units_p = polynomial_and_units(p, inside**2)
    of_q, units_q = polynomial_and_units(q, inside**2)
    w = inside * of_p / of_q
    rounding = (units_p + units_q + 2) * w / np.cosh(w) ** 2 / np.tanh(w)  # carried through tanh

    def approximation(t: float) -> float:
        y = mpf(t) ** 2
        ratio = mpmath.polyval(p[::-1], y) / mpmath.polyval(q[::-1], y)
        return float(abs(mpmath.tanh(t * ratio) / mpmath.erf(t) - 1)) / unit

    off = np.array([approximation(t) for t in inside])
    assert off.max() <= 1
    assert rounding.max() <= 4.01
    allowed = scipy.special.erf(Bounded.exact(x)).error / scipy.special.erf(x.astype(float)) / unit
    assert (rounding + off + FUNCTION_UNITS <= allowed).all()


@both_dtypes
def test_it_is_the_error_function(dtype: str) -> None:
    """Within less than the 4 units in the last place that NumPy and torch promise."""
    x = places(dtype)
    found = erf(x)
    assert found.dtype == dtype
    exact = [mpmath.erf(mpf(float(t))) for t in x]
    off = [float(abs(mpf(float(a)) / e - 1)) for a, e in zip(found, exact, strict=True)]
    assert max(off) <= FUNCTION_UNITS * np.finfo(dtype).eps / 2
    np.testing.assert_array_equal(erf(-x), -found)


@both_dtypes
def test_ends_and_shapes(dtype: str) -> None:
    ends = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e30], dtype)
    np.testing.assert_array_equal(erf(ends), np.array([0, 0, 1, -1, np.nan, 1, -1], dtype))
    assert np.signbit(erf(ends)[1])
    many = np.random.default_rng(0).normal(size=(3, BLOCK)).astype(dtype).T
    np.testing.assert_array_equal(erf(many), np.tanh(argument_of_tanh(many)))
    assert erf(many[:0]).shape == (0, 3)
    number = erf(np.array(0.5, dtype))
    assert (number.shape, number.dtype) == ((), dtype)
