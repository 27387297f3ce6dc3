"""Comparisons, conditions and choices.

What rounding may decide either way is a BoundedTensor of type bool; all else is a plain tensor.
"""

from typing import Any

import numpy as np
import torch

from torch_parity.compare.bounds import truths
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.conversions import (
    common_type,
    computed_type,
    lifted,
    tensor_of,
    truth_tensor,
)
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.unbounded import Unbounded

COMPARISONS = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal,
}  # fmt: skip


def compared(ufunc: np.ufunc, x: Any, y: Any) -> Any:
    """True or false, where rounding cannot decide it."""
    if not any(isinstance(z, BoundedTensor) for z in (x, y)) and not (_is_real(x) or _is_real(y)):
        return truth_tensor(
            ufunc(*(z.numpy() if isinstance(z, torch.Tensor) else z for z in (x, y)))
        )
    dtype = computed_type(x, y)
    with np.errstate(invalid="ignore"):
        return truth_tensor(truths.compared(ufunc, lifted(x, dtype), lifted(y, dtype)))


def _is_real(x: Any) -> bool:
    return isinstance(x, float) or (isinstance(x, torch.Tensor) and x.is_floating_point())


def _comparison(ufunc: np.ufunc) -> Any:
    return lambda x, y: compared(ufunc, x, y)


for _name, _compare in COMPARISONS.items():
    rule(_name)(_comparison(_compare))


def _test(ufunc: np.ufunc) -> Any:
    return lambda x: truth_tensor(truths.tested(ufunc, lifted(x, computed_type(x))))


for _name in ("isnan", "isinf", "isfinite"):
    rule(_name)(_test(getattr(np, _name)))


def condition(x: Any) -> Any:
    """A condition as NumPy has it: a plain array, or Bounded where it is doubtful."""
    if isinstance(x, BoundedTensor):
        return x.bounded
    if x.dtype == torch.bool:
        return x.numpy()
    return (x != 0).numpy() if not x.is_floating_point() else lifted(x, x.dtype)


def _logic(ufunc: np.ufunc) -> Any:
    def combine(*operands: Any) -> Any:
        parts = [condition(x) for x in operands]
        if not any(isinstance(p, Bounded) for p in parts):
            return torch.from_numpy(np.asarray(ufunc(*parts)))
        like = next(p for p in parts if isinstance(p, Bounded))
        bounded = [p if isinstance(p, Bounded) else like.lift(p.astype(float)) for p in parts]
        return truth_tensor(truths.combined(ufunc, *bounded))

    return combine


truths_and = rule("logical_and")(_logic(np.logical_and))
rule("logical_or")(_logic(np.logical_or))
rule("logical_not")(_logic(np.logical_not))


def _bitwise(name: str, ufunc: np.ufunc) -> Any:
    logic = _logic(ufunc)

    def combine(*operands: Any) -> Any:
        if all(getattr(x, "dtype", torch.bool) == torch.bool for x in operands):
            return logic(*operands)
        return getattr(torch, name)(*operands)

    return combine


_truths: Any = (
    ("bitwise_not", np.logical_not),
    ("bitwise_and", np.logical_and),
    ("bitwise_or", np.logical_or),
)
for _name, _ufunc in _truths:
    rule(_name)(_bitwise(_name, _ufunc))


def chosen(which: Any, x: Any, y: Any, dtype: torch.dtype) -> Any:
    """x where the condition holds, y elsewhere."""
    a, b = lifted(x, dtype), lifted(y, dtype)
    return tensor_of(truths.where(a, condition(which), a, b), dtype)


@rule("where")
def where(which: Any, x: Any = None, y: Any = None) -> Any:
    """x where the condition holds, y elsewhere; without them, the places where it holds"""
    if x is None:
        return nonzero(which).unbind(1)
    dtype = common_type(x, y)
    if not dtype.is_floating_point and not _any_bounded(which, x, y):
        return torch.where(which, x, y)
    if not dtype.is_floating_point and dtype != torch.bool:
        raise Unbounded("aten::where: rounding may decide which integer it is")
    return chosen(which, x, y, dtype)


def _any_bounded(*operands: Any) -> bool:
    return any(isinstance(x, BoundedTensor) for x in operands)


@rule("masked_fill")
def masked_fill(x: Any, mask: Any, value: Any) -> Any:
    """value where the mask is set"""
    if not isinstance(x, BoundedTensor) and not x.is_floating_point():
        return x.masked_fill(mask, value)
    return chosen(mask, value, x, x.dtype)


@rule("nonzero")
def nonzero(x: Any) -> torch.Tensor:
    """The places of what is not 0.

    Raises:
        Unbounded: rounding may decide which these are.
    """
    return decided(x, "aten::nonzero").nonzero()


def decided(x: Any, name: str) -> torch.Tensor:
    """A condition, where rounding decides nothing.

    Raises:
        Unbounded: it may.
    """
    truth = x if x.dtype == torch.bool else compared(np.not_equal, x, 0)
    if isinstance(truth, BoundedTensor):
        yes, no = truths.sides_of(truth.bounded)
        if not (yes | no).all():
            raise Unbounded(f"{name}: rounding may decide this condition either way")
        return torch.from_numpy(yes)
    return truth


@rule("any")
def any_of(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether one is not 0"""
    return _over(truths.any_of, np.any, x, dim, keepdim)


@rule("all")
def all_of(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether none is 0"""
    return _over(truths.all_of, np.all, x, dim, keepdim)


def _over(bounded: Any, plain: Any, x: Any, dim: Any, keepdim: bool) -> Any:
    axis = tuple(dim) if isinstance(dim, list | tuple) else dim
    part = condition(x)
    if isinstance(part, Bounded):
        return truth_tensor(bounded(part, part, axis, keepdim))
    return torch.from_numpy(np.asarray(plain(part, axis=axis, keepdims=keepdim)))


@rule("equal")
def equal(x: Any, y: Any) -> bool:
    """Whether both are the same everywhere"""
    return x.shape == y.shape and bool(decided(compared(np.equal, x, y), "aten::equal").all())


@rule("count_nonzero")
def count_nonzero(x: Any, dim: Any = None) -> torch.Tensor:
    """How many are not 0"""
    return decided(x, "aten::count_nonzero").count_nonzero(dim)
