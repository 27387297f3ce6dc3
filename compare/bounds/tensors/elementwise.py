"""Functions of numbers, entry by entry: NumPy's, by the rules that Bounded has for them."""

from typing import Any

import numpy as np
import scipy.special
import torch

from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.rules import RULES, error_of
from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.conversions import (
    common_type,
    computed_type,
    converted,
    inner_type,
    lifted,
    tensor_of,
)
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.tiers import current
from torch_parity.compare.bounds.tensors.unbounded import Unbounded


def _sign(x: Bounded) -> Bounded:
    """torch's: 0 of nan."""
    signs: Any = np.sign(x)
    nan = np.isnan(x.value)
    return x.like(np.where(nan, 0, signs.value), np.where(nan, 0, signs.error))


UNARY: dict[str, Any] = {
    "abs": np.absolute, "neg": np.negative, "sign": _sign, "sgn": _sign,
    "positive": np.positive,
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2,
    "log10": np.log10, "log1p": np.log1p, "square": np.square,
    "reciprocal": np.reciprocal, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin,
    "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "floor": np.floor,
    "ceil": np.ceil, "trunc": np.trunc, "fix": np.trunc, "erf": scipy.special.erf,
    "special_erf": scipy.special.erf, "erfc": scipy.special.erfc,
    "special_erfc": scipy.special.erfc, "sigmoid": scipy.special.expit,
    "special_expit": scipy.special.expit, "erfinv": scipy.special.erfinv,
}  # fmt: skip
# These keep integers as they are; the others make real numbers of them.
OF_INTEGERS = {"abs", "neg", "sign", "sgn", "square", "positive", "floor", "ceil", "trunc", "fix"}
BINARY: dict[str, Any] = {
    "maximum": np.maximum, "minimum": np.minimum, "fmax": np.fmax, "fmin": np.fmin,
    "atan2": np.arctan2, "arctan2": np.arctan2, "hypot": np.hypot, "copysign": np.copysign,
    "fmod": np.fmod, "remainder": np.remainder, "logaddexp": np.logaddexp, "mul": np.multiply,
}  # fmt: skip


def applied(ufunc: Any, *operands: Any, dtype: torch.dtype | None = None) -> BoundedTensor:
    """One of NumPy's or scipy's functions, in the type that torch computes it in."""
    dtype = dtype or computed_type(*operands)
    return tensor_of(ufunc(*(lifted(x, dtype) for x in operands)), dtype)


def is_plain(*operands: Any) -> bool:
    """Integers only: nothing is rounded, and torch's own function has the result."""
    return not any(
        isinstance(x, BoundedTensor | float)
        or (isinstance(x, torch.Tensor) and x.is_floating_point())
        for x in operands
    )


def _unary(name: str, ufunc: Any) -> Any:
    def function(x: Any) -> Any:
        if name in OF_INTEGERS and is_plain(x):
            return getattr(torch, name)(x)
        return applied(ufunc, x)

    return function


def _binary(name: str, ufunc: Any) -> Any:
    def function(x: Any, y: Any) -> Any:
        return getattr(torch, name)(x, y) if is_plain(x, y) else applied(ufunc, x, y)

    return function


for _name, _ufunc in UNARY.items():
    rule(_name)(_unary(_name, _ufunc))
for _name, _ufunc in BINARY.items():
    rule(_name)(_binary(_name, _ufunc))


def minus(x: Any) -> Any:
    """-x, which may be one more term of the sum that x is"""
    result: Any = np.negative(x)
    result.begun = x.begun
    return result


def scaled(x: Any, factor: Any) -> Any:
    """factor x, which may be one more term of the sum that x is"""
    if not isinstance(factor, torch.Tensor) and factor == 1:
        return x
    result: Any = np.multiply(x, factor.bounded if isinstance(factor, BoundedTensor) else factor)
    result.begun = x.begun
    return result


def added(x: Any, y: Any) -> Any:
    """x + y. One call rounds its result once; inside a formula both terms may be rounded, for they
    may be added to something else first."""
    if not current().alone:
        whole = _whole(x, y)
        return np.add(x, y) if whole is None else whole
    value = np.asarray(x.value + y.value)
    return x.like(value, error_of(x, RULES[np.subtract], value, [x, y]))


def _whole(x: Any, y: Any) -> Any:
    """x + y, where all are whole numbers without an error: no sum of these is rounded."""
    if x.error.any() or y.error.any():
        return None
    value = np.asarray(x.value + y.value)
    for number in (x.value, y.value, value):
        if not (np.rint(number) == number).all() or not (np.abs(number) < 1 / x.eps).all():
            return None
    return x.like(value, np.zeros(value.shape))


def sum_of(x: Any, y: Any, alpha: Any = 1, sign: int = 1) -> Any:
    """x + sign alpha y"""
    if is_plain(x, y, alpha):
        return torch.add(x, y, alpha=sign * alpha)
    dtype = common_type(x, y)
    inner = inner_type(dtype) if alpha != 1 else dtype
    a, b = lifted(x, dtype), lifted(y, dtype)
    if alpha != 1:
        alpha = tensor_of(converted(lifted(alpha, dtype), dtype, inner), inner)
    a, b = converted(a, dtype, inner), scaled(converted(b, dtype, inner), alpha)
    total = added(a, b if sign == 1 else minus(b))
    return tensor_of(converted(total, inner, dtype), dtype)


@rule("add")
def add(x: Any, y: Any, alpha: Any = 1) -> Any:
    """x + alpha y"""
    return sum_of(x, y, alpha)


@rule("sub")
def sub(x: Any, y: Any, alpha: Any = 1) -> Any:
    """x - alpha y"""
    return sum_of(x, y, alpha, -1)


@rule("rsub")
def rsub(x: Any, y: Any, alpha: Any = 1) -> Any:
    """y - alpha x"""
    return sum_of(y, x, alpha, -1) if isinstance(y, torch.Tensor) else _number_minus(y, x, alpha)


def _number_minus(number: Any, x: Any, alpha: Any) -> Any:
    if is_plain(x, number):
        return torch.rsub(x, number, alpha=alpha)
    a, b = lifted(number, x.dtype), scaled(lifted(x, x.dtype), alpha)
    return tensor_of(added(minus(b), a), x.dtype)


@rule("div", "true_divide", "divide")
def div(x: Any, y: Any, *, rounding_mode: str | None = None) -> Any:
    """x / y, or the whole number next to it"""
    if rounding_mode is None:
        return applied(np.divide, x, y)
    if is_plain(x, y):
        return torch.div(x, y, rounding_mode=rounding_mode)
    step = np.floor if rounding_mode == "floor" else np.trunc
    return applied(lambda a, b: step(np.divide(a, b)), x, y)


@rule("floor_divide")
def floor_divide(x: Any, y: Any) -> Any:
    """The whole number below x / y"""
    return div(x, y, rounding_mode="floor")


def loosened(x: BoundedTensor, units: float) -> BoundedTensor:
    """With so many more roundings of each number."""
    b = x.bounded
    error = b.error + units * b.inner_u * np.abs(b.value).astype(np.float64)
    return BoundedTensor(b.like(b.value, error), x.dtype)


@rule("sqrt")
def sqrt(x: Any) -> Any:
    """sqrt(x), of a mathematical library that rounds to the next number or the one behind it"""
    return loosened(applied(np.sqrt, x), 1.0)


@rule("rsqrt")
def rsqrt(x: Any) -> Any:
    """1 / sqrt(x)"""
    return applied(lambda b: np.reciprocal(np.sqrt(b)), x)


@rule("round")
def round_to(x: Any, *, decimals: int = 0) -> Any:
    """The whole number next to x"""
    if is_plain(x):
        return torch.round(x)
    if decimals:
        raise Unbounded("aten::round to decimals has no rounding bound")
    return applied(np.rint, x)


@rule("pow", "float_power")
def power(x: Any, exponent: Any) -> Any:
    """x^exponent; torch takes some exponents as products and roots"""
    if is_plain(x, exponent):
        return torch.pow(x, exponent)
    dtype = computed_type(x, exponent)
    if isinstance(exponent, torch.Tensor) or not isinstance(x, torch.Tensor):
        return applied(np.power, x, exponent, dtype=dtype)
    inner = inner_type(dtype)
    b = converted(lifted(x, dtype), dtype, inner)
    special: dict[Any, Any] = {
        1: np.positive, 2: np.square, 3: lambda z: z * z * z, 0.5: np.sqrt, -1: np.reciprocal,
        -0.5: lambda z: np.reciprocal(np.sqrt(z)), -2: lambda z: np.reciprocal(z * z),
    }  # fmt: skip
    function = special.get(exponent, lambda z: np.power(z, exponent))
    return tensor_of(converted(function(b), inner, dtype), dtype)


@rule("fma")
def fma(x: Any, y: Any, z: Any) -> Any:
    """x y + z, of torch's prims"""
    return sum_of(applied(np.multiply, x, y), z)


@rule("addcmul")
def addcmul(x: Any, y: Any, z: Any, *, value: Any = 1) -> Any:
    """x + value y z, in any order"""
    return _plus_value(x, np.multiply, y, z, value)


@rule("addcdiv")
def addcdiv(x: Any, y: Any, z: Any, *, value: Any = 1) -> Any:
    """x + value y / z, in any order"""
    return _plus_value(x, np.divide, y, z, value)


def _plus_value(x: Any, ufunc: Any, y: Any, z: Any, value: Any) -> BoundedTensor:
    dtype = common_type(x, y, z)
    inner = inner_type(dtype)
    a, b, c = (converted(lifted(w, dtype), dtype, inner) for w in (x, y, z))
    term = scaled(ufunc(b, c), lifted_number(value, inner))
    return tensor_of(converted(np.add(a, term), inner, dtype), dtype)


def lifted_number(value: Any, dtype: torch.dtype) -> Any:
    """A factor: a plain number, or a tensor of one that carries its bound."""
    if isinstance(value, torch.Tensor):
        return tensor_of(lifted(value, dtype), dtype)
    return value


@rule("lerp")
def lerp(x: Any, end: Any, weight: Any) -> BoundedTensor:
    """x + weight (end - x), or end - (1 - weight) (end - x)"""
    dtype = common_type(x, end)
    inner = inner_type(dtype)
    a, b = (converted(lifted(w, dtype), dtype, inner) for w in (x, end))
    w = lifted(weight, inner) if isinstance(weight, torch.Tensor) else a.lift(weight)
    if not isinstance(weight, torch.Tensor) or weight.ndim == 0:
        w = w.reshape(())
    moved = np.add(a, w * np.add(b, minus(a)))
    return tensor_of(converted(moved, inner, dtype), dtype)
