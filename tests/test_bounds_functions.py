"""Functions of bounded numbers, entry by entry, against 60 digits of mpmath: NumPy's and torch's
own results lie within the bound, and so does the exact result of whatever the inputs may be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special
import torch
from mpmath import mpf

from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.manual.erf import erf

mpmath.mp.dps = 60
DRAWS = 300

both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@dataclass(frozen=True)
class Function:
    """numpy and torch compute it, exact does so with 60 digits; low..high is where its inputs lie.
    With log they are of any size in between, and with signed negative as well."""

    numpy: Callable[..., Any]
    exact: Callable[..., Any]
    torch: Callable[..., Any] | None
    low: float
    high: float
    log: bool = False
    signed: bool = False

    def draw(self, rng: np.random.Generator, dtype: str, size: int = DRAWS) -> np.ndarray:
        """Its inputs."""
        x = rng.uniform(self.low, self.high, size)
        if self.log:
            x = np.exp(rng.uniform(np.log(self.low), np.log(self.high), size))
        if self.signed:
            x = x * rng.choice([-1, 1], size)
        return x.astype(dtype)


def power(c: float) -> Function:
    low, high = (1e-3, 1e3) if abs(c) > 3 else (1e-9, 1e9)
    whole = float(c).is_integer()
    return Function(
        lambda x: x**c, lambda x: x ** mpf(c), lambda x: x**c, low, high, True, signed=whole
    )


FUNCTIONS = {
    "exp": Function(np.exp, mpmath.exp, torch.exp, -60, 80),
    "exp2": Function(np.exp2, lambda x: mpf(2) ** x, torch.exp2, -90, 100),
    "expm1": Function(np.expm1, mpmath.expm1, torch.expm1, 1e-12, 60, True, True),
    "log": Function(np.log, mpmath.log, torch.log, 1e-30, 1e30, True),
    "log2": Function(np.log2, lambda x: mpmath.log(x, 2), torch.log2, 1e-30, 1e30, True),
    "log10": Function(np.log10, mpmath.log10, torch.log10, 1e-30, 1e30, True),
    "log near 1": Function(np.log, mpmath.log, torch.log, 0.9, 1.1),
    "log1p": Function(np.log1p, mpmath.log1p, torch.log1p, 1e-12, 0.9, True, True),
    "sqrt": Function(np.sqrt, mpmath.sqrt, torch.sqrt, 1e-30, 1e30, True),
    "tanh": Function(np.tanh, mpmath.tanh, torch.tanh, 1e-6, 12, True, True),
    "sinh": Function(np.sinh, mpmath.sinh, torch.sinh, 1e-6, 60, True, True),
    "cosh": Function(np.cosh, mpmath.cosh, torch.cosh, 1e-6, 60, True, True),
    "sin": Function(np.sin, mpmath.sin, torch.sin, -30, 30),
    "cos": Function(np.cos, mpmath.cos, torch.cos, -30, 30),
    "tan": Function(np.tan, mpmath.tan, torch.tan, -1.2, 1.2),
    "arctan": Function(np.arctan, mpmath.atan, torch.arctan, 1e-6, 1e6, True, True),
    "square": Function(np.square, lambda x: x * x, torch.square, 1e-9, 1e9, True, True),
    "reciprocal": Function(np.reciprocal, lambda x: 1 / x, torch.reciprocal, 1e-9, 1e9, True, True),
    "abs": Function(np.abs, abs, torch.abs, -9, 9),
    "negative": Function(np.negative, lambda x: -x, torch.neg, -9, 9),
    "erf": Function(scipy.special.erf, mpmath.erf, torch.erf, 1e-6, 5, True, True),
    "erf by hand": Function(erf, mpmath.erf, None, 1e-6, 7, True, True),
    "erfc": Function(scipy.special.erfc, mpmath.erfc, torch.erfc, -5, 5),
    "expit": Function(
        scipy.special.expit, lambda x: 1 / (1 + mpmath.exp(-x)), torch.sigmoid, -50, 60
    ),
    **{f"power {c}": power(c) for c in (2, 3, 5, 7, -1, -2, 0.5, -0.5, 1.5, 0.25, 0, 1)},
}
every_function = pytest.mark.parametrize("name", FUNCTIONS)


def exactly(x: Any) -> Any:
    """A float or a long double as mpmath has it."""
    head = float(x)
    return mpf(head) + (mpf(float(x - np.longdouble(head))) if np.isfinite(head) else 0)


def uncertain(x: np.ndarray, error: np.ndarray) -> Bounded:
    """x, which may be off by error."""
    given = Bounded.exact(x)
    return Bounded(given.value, error, given.judged)


def gaps(result: Bounded, exact: list[Any]) -> np.ndarray:
    """How far its values are from the exact ones, in units of its error."""
    pairs = zip(result.value.ravel(), exact, result.error.ravel(), strict=True)
    return np.array([abs(exactly(v) - e) / mpf(u) if v != e else 0.0 for v, e, u in pairs], float)


@both_dtypes
@every_function
def test_a_function_lies_within_its_bound(name: str, dtype: str) -> None:
    f, seed = FUNCTIONS[name], 3
    x = f.draw(np.random.default_rng(seed), dtype)
    result, exact = f.numpy(Bounded.exact(x)), [f.exact(exactly(a)) for a in x]
    where = f"{name}, {dtype}, seed {seed}"
    # scipy's erf is one of float64
    precise = 0.5 if name in ("erf", "erf by hand", "erfc") and dtype == "float64" else 0.01
    assert gaps(result, exact).max() <= precise, where
    observed = []
    with np.errstate(all="raise"):
        came = {"NumPy": f.numpy(x)}
    if f.torch is not None:
        came["torch"] = f.torch(torch.tensor(x)).numpy()
    for who, y in came.items():
        assert y.dtype == dtype, f"{where}, {who}"
        off = np.array([float(abs(exactly(a) - b)) for a, b in zip(y, exact, strict=True)])
        assert (off <= result.error).all(), f"{where}, {who}"
        observed.append((off / np.abs(np.float64(y) + (y == 0))).max())
    # relative to the result: 100 times what was seen, or 12 units where no rounding was seen
    unit = np.finfo(dtype).eps
    relative = (result.error / np.abs(result.value.astype(float) + (result.value == 0))).max()
    assert relative <= max(100 * max(observed), 12 * unit), where


@both_dtypes
@every_function
@pytest.mark.parametrize("size", [1e-12, 1e-4, 0.1])
def test_a_function_of_an_uncertain_number(name: str, dtype: str, size: float) -> None:
    """Whatever the number may be, the exact result is within; at an end it nearly gets there."""
    f, seed = FUNCTIONS[name], 5
    rng = np.random.default_rng(seed)
    x = f.draw(rng, dtype, 100)
    error = size * np.abs(x.astype(float))
    result, sure = f.numpy(uncertain(x, error)), f.numpy(Bounded.exact(x))
    farthest = np.zeros(x.size)
    for at in (-1.0, 1.0, *rng.uniform(-1, 1, 3)):
        exact = [f.exact(exactly(a) + mpf(at) * mpf(e)) for a, e in zip(x, error, strict=True)]
        where = f"{name}, {dtype}, seed {seed}, error {size}, at {at}"
        assert gaps(result, exact).max() <= 1, where
        # the rounding of the function has to be left over: drop the exact one's from the bound
        off = np.array([abs(exactly(v) - e) for v, e in zip(sure.value, exact, strict=True)], float)
        assert (off <= (result.error - sure.error) * (1 + 1e-9) + 0.5 * sure.error).all(), where
        farthest = np.maximum(farthest, off)
    assert (result.error <= 4 * farthest + 1.5 * sure.error).all(), f"{name}, {dtype}, seed {seed}"


PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    "add": (np.add, lambda x, y: x + y, torch.add),
    "subtract": (np.subtract, lambda x, y: x - y, torch.sub),
    "multiply": (np.multiply, lambda x, y: x * y, torch.mul),
    "divide": (np.divide, lambda x, y: x / y, torch.div),
    "maximum": (np.maximum, max, torch.maximum),
    "minimum": (np.minimum, min, torch.minimum),
    "logaddexp": (
        np.logaddexp, lambda x, y: mpmath.log(mpmath.exp(x) + mpmath.exp(y)), torch.logaddexp
    ),
    "power": (
        lambda x, y: np.power(abs(x), y), lambda x, y: abs(x) ** y,
        lambda x, y: torch.pow(abs(x), y),
    ),
}  # fmt: skip


@both_dtypes
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-4, 0.1])
def test_a_function_of_two_numbers(name: str, dtype: str, size: float) -> None:
    by_numpy, by_mpmath, by_torch = PAIRS[name]
    seed, n = 7, 150
    rng = np.random.default_rng(seed)
    x, y = (np.exp(rng.uniform(-2, 2, n)) * rng.choice([-1, 1], n) for _ in range(2))
    y[:20] = -x[:20] * (1 + 1e-5 * rng.normal(size=20))  # cancels
    x, y = x.astype(dtype), y.astype(dtype)
    e_x, e_y = (size * np.abs(a.astype(float)) for a in (x, y))
    result = by_numpy(uncertain(x, e_x), uncertain(y, e_y))
    sure = by_numpy(Bounded.exact(x), Bounded.exact(y))
    farthest = np.zeros(n)
    for at_x, at_y in [(0, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), *rng.uniform(-1, 1, (3, 2))]:
        exact = [
            by_mpmath(exactly(a) + mpf(at_x) * mpf(e), exactly(b) + mpf(at_y) * mpf(d))
            for a, e, b, d in zip(x, e_x, y, e_y, strict=True)
        ]
        where = f"{name}, {dtype}, seed {seed}, error {size}, at {at_x}, {at_y}"
        off = np.array([abs(exactly(v) - e) for v, e in zip(sure.value, exact, strict=True)], float)
        carried = result.error - sure.error * (size > 0)
        assert (off <= carried * (1 + 1e-9) + 0.01 * sure.error).all(), where
        farthest = np.maximum(farthest, off)
    assert (result.error <= 4 * farthest + 1.5 * sure.error).all(), f"{name}, {dtype}, seed {seed}"
    if size == 0:
        torch_too = by_torch(torch.tensor(x), torch.tensor(y)).numpy()
        for who, came in {"NumPy": by_numpy(x, y), "torch": torch_too}.items():
            off = np.array([abs(exactly(a) - e) for a, e in zip(came, exact, strict=True)], float)
            assert (off <= result.error).all(), f"{where}, {who}"
        terms = np.abs(x.astype(float)) + np.abs(y.astype(float)) + np.abs(sure.value).astype(float)
        assert (result.error <= 40 * np.finfo(dtype).eps * terms).all(), where


@both_dtypes
def test_functions_at_the_ends_of_their_range(dtype: str) -> None:
    """0, huge and tiny numbers, and what is below all normal ones."""
    tiny, most = np.finfo(dtype).tiny, np.finfo(dtype).max
    x = np.array([0, -0.0, tiny, -tiny, tiny * 8, most / 8, -most / 8, 1], dtype)
    for f in (np.abs, np.sign, np.tanh, np.expm1, np.arctan, np.exp, scipy.special.erf, np.square):
        with np.errstate(all="ignore"):
            came, result = f(x), f(Bounded.exact(x))
            within = np.abs(came - result.value) <= result.error
        assert within[np.isfinite(came)].all(), f"{f}, {dtype}"
    zero = Bounded.exact(np.zeros(1, dtype))
    for f in (np.tanh, np.sqrt, np.square, np.sin, np.expm1, lambda a: a * a, lambda a: a / 3):
        assert f(zero).error.item() == 0, f"{f} of nothing is exactly nothing"


@both_dtypes
def test_infinities_that_no_rounding_reaches_are_exact(dtype: str) -> None:
    x = uncertain(np.array([1.5, -2, 0.25], dtype), np.array([1e-3, 1e-3, 1.0]))
    mask = np.array([0, -np.inf, -np.inf])
    masked = [
        x + mask,
        np.where(mask < 0, -np.inf, x),
        (x + mask) * 0.1,
        (x + mask) / 3,
        -(x + mask),
    ]
    for i, scores in enumerate(masked):
        assert (scores.error[1:] == 0).all(), f"case {i}, {dtype}"
        assert 0 < scores.error[0] < 0.1, f"case {i}, {dtype}"
    e = np.exp(masked[0] - masked[0].max())
    assert (e.value[1:] == 0).all()
    assert (e.error[1:] == 0).all()
    assert np.isfinite((e / e.sum()).error).all()
    assert not np.isfinite((1 / x).error[2]), "a number that may be 0 has any reciprocal"
    assert not np.isfinite(np.log(x).error[2])
    assert (np.log(Bounded.exact(np.zeros(1, dtype))).error == 0).all()


@both_dtypes
def test_a_sign_that_rounding_decides(dtype: str) -> None:
    x = uncertain(np.array([1, -1, 0.5, 0], dtype), np.array([0.5, 0.5, 0.5, 0]))
    assert np.sign(x).error.tolist() == [0, 0, 2, 0]


def test_constants_that_every_precision_has_are_exact() -> None:
    x = Bounded.exact(np.ones(1, np.float32))
    exact = [0, 1, -2, 0.5, -1.5, 2.0**-10, 200, 2**20, np.inf, -np.inf, True]
    assert [c for c in exact if x.lift(c).error.any()] == []
    assert [c for c in (0.1, 1e-5, 2.0**30 + 1, np.pi) if not x.lift(c).error.any()] == []
    assert not x.lift(np.array([0.1], np.float32)).error.any()
    assert x.lift(np.array([0.1])).error.any(), "float64's 0.1 is rounded on its way in"


def test_a_half_is_computed_in_float32_and_rounded_once() -> None:
    """A function of a half has its units in float32, and one of its own."""
    x = np.linspace(0.1, 3, 50).astype(np.float16)
    for f in (np.exp, np.tanh, scipy.special.erf):
        result = f(Bounded.exact(x))
        off = np.abs(f(x.astype(np.float32)).astype(np.float16) - result.value)
        assert (off <= result.error).all()
        assert (result.error <= 2.1 * np.finfo(np.float16).eps / 2 * result.value + 1e-7).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_rounds_nothing_away_has_no_bound(dtype: str) -> None:
    """Short numbers added or multiplied, and any number scaled by a power of two."""
    short, other = (Bounded.exact(np.array(x, dtype)) for x in ([1.5, -2.5], [0.1, 1 / 3]))
    for exact in (short + 0.5, short - 3, short * 2.5, other * 0.25, other / 8, 2 * other):
        assert not exact.error.any()
    for rounded in (short + other, other + 0.5, other * 3, short / 3):
        assert (rounded.error > 0).all()
    subnormal = Bounded.exact(np.array([np.finfo(dtype).smallest_normal], dtype)) * 0.25
    assert (subnormal.error > 0).all()
    assert np.array_equal(((other * 3) * 2).error, 2 * (other * 3).error), "it is carried on"


@both_dtypes
def test_a_tie_is_decided(dtype: str) -> None:
    """floor(x + 0.5) and rint(x) are two functions: both are known where x is 2.5."""
    x = Bounded.exact(np.array([0.5, 1.5, 2.5, -1.5], dtype))
    up, even = np.floor(x + 0.5), np.rint(x)
    assert up.value.tolist() == [1, 2, 3, -1]
    assert even.value.tolist() == [0, 2, 2, -2]
    assert not up.error.any()
    assert not even.error.any()
