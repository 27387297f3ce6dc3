"""Calls on complex numbers, computed with bounds as what they are on real and imaginary parts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from torch_parity.compare import torch_private
from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.conversions import converted, lifted
from torch_parity.compare.bounds.tensors.unbounded import Unbounded

REAL_OF = {torch.complex64: torch.float32, torch.complex128: torch.float64}


@dataclass(frozen=True)
class Complex:
    """A complex tensor by its real and imaginary parts, which are the last axis of pairs."""

    pairs: Tensor

    @property
    def re(self) -> Tensor:
        """The real part."""
        return self.pairs.select(-1, 0)

    @property
    def im(self) -> Tensor:
        """The imaginary part."""
        return self.pairs.select(-1, 1)


Rule = TypeVar("Rule", bound=Callable[..., Complex | Tensor])
RULES: dict[str, Callable[..., Complex | Tensor]] = {}
MAKES_COMPLEX = {"polar", "complex", "_fft_r2c", "view_as_complex"}
# Made of the real parts, and of the imaginary parts, by the same call.
BY_PARTS = {
    "neg", "sum", "mean", "cumsum", "cat", "stack", "flip", "roll", "tril", "triu", "index",
    "index_select", "gather", "repeat", "select_backward", "slice_backward", "zeros_like",
    "new_zeros", "where", "masked_fill", "index_put", "scatter", "slice_scatter", "select_scatter",
}  # fmt: skip
TURNED = {"transpose", "t", "squeeze", "unsqueeze", "swapaxes", "swapdims"}  # also in place


def rule(*names: str) -> Callable[[Rule], Rule]:
    """For the functions of these names, whichever overload, in place or not."""

    def put(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return put


def concerns(name: str, args: Any, kwargs: Any) -> bool:
    """Whether a call reads or makes complex numbers."""
    leaves = torch_private.flattened((args, kwargs))
    return name in MAKES_COMPLEX or any(
        isinstance(x, Complex | complex) or (isinstance(x, torch.dtype) and x.is_complex)
        for x in leaves
    )


def computed(overload: Any, name: str, args: Any, kwargs: Any) -> list[Any]:
    """What the call makes, by real and imaginary parts.

    Raises:
        Unbounded: there is no rule for it.
    """
    leaves = torch_private.flattened((args, kwargs))
    if not any(isinstance(x, Tensor | Complex) for x in leaves):  # zeros of a complex type
        return [BoundedTensor.exact(torch.view_as_real(overload(*args, **kwargs)))]
    if name in RULES:
        made = RULES[name](*args, **kwargs)
    elif name in BY_PARTS and all(isinstance(x, Complex) for x in leaves if _is_of_reals(x)):
        made = of(*(_part_of_call(overload, name, i, args, kwargs) for i in (0, 1)))
    elif name in TURNED or (torch_private.is_view(overload) and name != "as_strided"):
        return _viewed(overload, args, kwargs)
    else:
        raise Unbounded("no rounding bound for complex numbers")
    return [made.pairs if isinstance(made, Complex) else made]


def _viewed(overload: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """The pairs that a view sees, by the places that it sees."""
    x, *more = args
    count = x.pairs.shape[:-1].numel()
    seen = overload(torch.arange(count).reshape(x.pairs.shape[:-1]), *more, **kwargs)
    places = seen if isinstance(seen, list | tuple) else [seen]
    return [x.pairs.reshape(count, 2)[at] for at in places]


def _is_of_reals(x: Any) -> bool:
    return isinstance(x, Complex) or (isinstance(x, Tensor) and x.is_floating_point())


def _part_of_call(overload: Any, name: str, i: int, args: Any, kwargs: Any) -> Tensor:
    """The call on all real (0) or imaginary (1) parts, not in place."""

    def part(x: Any) -> Any:
        if isinstance(x, torch.dtype):
            return REAL_OF.get(x, x)
        return x.pairs.select(-1, i) if isinstance(x, Complex) else x

    function = getattr(getattr(torch.ops.aten, name), overload._overloadname)
    args, kwargs = torch_private.mapped(part, (args, kwargs))
    return function(*args, **kwargs)


def of(re: Tensor, im: Tensor) -> Complex:
    """re + i im"""
    shape = np.broadcast_shapes(re.shape, im.shape)
    return Complex(torch.stack([re.expand(shape), im.expand(shape)], -1))


def _is_real(x: Any) -> bool:
    return not isinstance(x, Complex | complex)


def _parts(x: Any) -> tuple[Any, Any]:
    return (x.re, x.im) if isinstance(x, Complex) else (x.real, x.imag)


def each(f: Callable[[Tensor], Tensor], x: Complex) -> Complex:
    """f of the real part, and f of the imaginary part."""
    return of(f(x.re), f(x.im))


@rule("view_as_complex")
def _from_pairs(x: Tensor) -> Complex:
    return Complex(x)


@rule("view_as_real")
def _to_pairs(x: Complex) -> Tensor:
    return x.pairs


# a conjugated view: the recorder keeps what lies in memory, and a call where it is read
@rule("_conj", "clone", "lift_fresh")
def _same(x: Complex, **_: Any) -> Complex:
    return x


@rule("_conj_physical", "conj_physical")
def conj(x: Complex) -> Complex:
    """re - i im"""
    return of(x.re, -x.im)


@rule("_to_copy")
def cast(x: Complex | Tensor, *, dtype: torch.dtype | None = None, **_: Any) -> Complex:
    """To another precision, or from real numbers."""
    pairs = x.pairs if isinstance(x, Complex) else torch.stack([x, torch.zeros_like(x)], -1)
    if dtype is None:
        return Complex(pairs)
    if dtype not in REAL_OF:
        raise Unbounded("a cast that drops the imaginary part")
    number = lifted(pairs, pairs.dtype)
    return Complex(BoundedTensor(converted(number, pairs.dtype, REAL_OF[dtype]), REAL_OF[dtype]))


@rule("copy")
def copied(target: Complex, source: Complex | Tensor, *_: Any) -> Complex:
    """What is written into target."""
    made = cast(source, dtype=next(c for c, r in REAL_OF.items() if r == target.pairs.dtype))
    return Complex(made.pairs.expand(target.pairs.shape))


@rule("polar")
def polar(size: Tensor, angle: Tensor) -> Complex:
    """size (cos angle + i sin angle)"""
    return of(size * torch.cos(angle), size * torch.sin(angle))


@rule("complex")
def from_parts(re: Tensor, im: Tensor) -> Complex:
    """re + i im"""
    return of(re, im)


@rule("mul")
def mul(x: Any, y: Any) -> Complex:
    """(a + i b) (c + i d) = ac - bd + i (ad + bc)"""
    if _is_real(x):
        x, y = y, x
    if _is_real(y):
        return of(x.re * y, x.im * y)
    (a, b), (c, d) = _parts(x), _parts(y)
    return of(a * c - b * d, a * d + b * c)


@rule("div")
def div(x: Any, y: Any) -> Complex:
    """x / y = x conj(y) / |y|^2"""
    if _is_real(y):
        return of(x.re / y, x.im / y)
    c, d = _parts(y)
    (a, b), size = (x, 0.0 * x) if _is_real(x) else _parts(x), c * c + d * d
    return of((a * c + b * d) / size, (b * c - a * d) / size)


@rule("add")
def add(x: Any, y: Any, *, alpha: Any = 1) -> Complex:
    """x + alpha y"""
    y = mul(y, alpha) if isinstance(y, Complex) and alpha != 1 else y
    if _is_real(x) or _is_real(y):
        z, r = (y, x) if _is_real(x) else (x, y)
        re = z.re + (alpha * r if z is x else r)
        return of(re, z.im)
    (a, b), (c, d) = _parts(x), _parts(y)
    return of(a + c, b + d)


@rule("sub")
def sub(x: Any, y: Any, *, alpha: Any = 1) -> Complex:
    """x - alpha y"""
    return add(x, each(torch.neg, y) if isinstance(y, Complex) else -y, alpha=alpha)


@rule("exp")
def exp(x: Complex) -> Complex:
    """e^re (cos im + i sin im)"""
    return polar(torch.exp(x.re), x.im)


@rule("abs")
def size_of(x: Complex) -> Tensor:
    """sqrt(re^2 + im^2)"""
    return torch.sqrt(x.re * x.re + x.im * x.im)


@rule("sgn")
def sign(x: Complex) -> Complex:
    """x / |x|, and 0 of 0"""
    size = size_of(x)
    return of(*(torch.where(size == 0, 0.0 * part, part / size) for part in (x.re, x.im)))


@rule("angle")
def angle(x: Complex) -> Tensor:
    """atan2(im, re)"""
    return torch.atan2(x.im, x.re)


@rule("mm", "bmm", "mv")
def matmul(x: Complex, y: Complex) -> Complex:
    """A C - B D + i (A D + B C)"""
    (a, b), (c, d) = _parts(x), _parts(y)
    both = torch.cat([a, b], -1)
    rows = -2 if c.ndim > 1 else -1
    return of(both @ torch.cat([c, -d], rows), both @ torch.cat([d, c], rows))


@rule("addmm", "baddbmm", "addmv")
def addmm(c: Complex, x: Complex, y: Complex, *, beta: Any = 1, alpha: Any = 1) -> Complex:
    """beta c + alpha x @ y"""
    product = matmul(x, y)
    product = product if alpha == 1 else mul(product, alpha)
    return add(c if beta == 1 else mul(c, beta), product)


@rule("constant_pad_nd")
def padded(x: Complex, padding: Any, value: Any = 0) -> Complex:
    """Around real and imaginary parts."""
    if value:
        raise Unbounded("padding with a complex number")
    return each(lambda part: torch.constant_pad_nd(part, [*padding]), x)
