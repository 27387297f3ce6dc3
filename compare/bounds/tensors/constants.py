"""Tensors that are made, filled, copied or converted."""

from typing import Any

import numpy as np
import torch

from torch_parity.compare.bounds.precise import higher
from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.comparisons import compared
from torch_parity.compare.bounds.tensors.conversions import (
    NUMPY_TYPES,
    bounded_of,
    converted,
    lifted,
    tensor_of,
)
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.unbounded import Unbounded, Undetermined


def filled(shape: Any, number: float, dtype: torch.dtype, error: float = 0.0) -> Any:
    """A tensor of one number that the type has; a plain one if the type is not of real numbers."""
    if not dtype.is_floating_point:
        return torch.full(tuple(shape), number, dtype=dtype)
    value = np.full(tuple(shape), number, higher(NUMPY_TYPES[dtype]))
    return tensor_of(bounded_of(value, error, dtype), dtype)


def _stored(number: Any, dtype: torch.dtype) -> float:
    """The number that a tensor of this type holds."""
    return torch.full((), float(number), dtype=dtype).item()


@rule("zeros_like", "zero")
def zeros_like(x: torch.Tensor, *, dtype: Any = None, **_: Any) -> Any:
    """0 everywhere"""
    return filled(x.shape, 0, dtype or x.dtype)


@rule("ones_like")
def ones_like(x: torch.Tensor, *, dtype: Any = None, **_: Any) -> Any:
    """1 everywhere"""
    return filled(x.shape, 1, dtype or x.dtype)


@rule("full_like")
def full_like(x: torch.Tensor, fill_value: Any, *, dtype: Any = None, **_: Any) -> Any:
    """One number everywhere"""
    dtype = dtype or x.dtype
    return filled(x.shape, _stored(fill_value, dtype), dtype)


@rule("new_zeros")
def new_zeros(x: torch.Tensor, size: Any, *, dtype: Any = None, **_: Any) -> Any:
    """0 everywhere, in another shape"""
    return filled(size, 0, dtype or x.dtype)


@rule("new_ones")
def new_ones(x: torch.Tensor, size: Any, *, dtype: Any = None, **_: Any) -> Any:
    """1 everywhere, in another shape"""
    return filled(size, 1, dtype or x.dtype)


@rule("new_full")
def new_full(x: torch.Tensor, size: Any, fill_value: Any, *, dtype: Any = None, **_: Any) -> Any:
    """One number everywhere, in another shape"""
    dtype = dtype or x.dtype
    return filled(size, _stored(fill_value, dtype), dtype)


@rule("empty_like")
def empty_like(x: torch.Tensor, *, dtype: Any = None, **_: Any) -> Undetermined:
    """Whatever is in memory; a decomposition that makes one writes into it."""
    return new_empty(x, x.shape, dtype=dtype)


@rule("new_empty")
def new_empty(x: torch.Tensor, size: Any, *, dtype: Any = None, **_: Any) -> Undetermined:
    """Whatever is in memory."""
    dtype = dtype or x.dtype
    if not dtype.is_floating_point:
        return Undetermined(torch.empty(tuple(size), dtype=dtype))
    return Undetermined(filled(size, float("nan"), dtype, float("inf")))


@rule("new_empty_strided")
def new_empty_strided(x: torch.Tensor, size: Any, stride: Any, **options: Any) -> Undetermined:
    """Whatever is in memory."""
    return new_empty(x, size, **options)


@rule("fill")
def fill(x: torch.Tensor, value: Any) -> Any:
    """One number everywhere, or that of a tensor of one"""
    if isinstance(value, torch.Tensor):
        return copy(x, value)
    return filled(x.shape, _stored(value, x.dtype), x.dtype)


@rule("copy")
def copy(x: torch.Tensor, source: Any, non_blocking: bool = False) -> Any:
    """The numbers of source, rounded to the type of x"""
    new = to_copy(source, dtype=x.dtype)
    if not isinstance(new, BoundedTensor):
        return new.expand(x.shape).clone()
    b = new.bounded
    value, error = (np.broadcast_to(a, tuple(x.shape)).copy() for a in (b.value, b.error))
    return tensor_of(b.like(value, error), new.dtype)


@rule("_to_copy")
def to_copy(x: Any, *, dtype: Any = None, memory_format: Any = None, **_: Any) -> Any:
    """The same numbers, rounded to another type.

    Raises:
        Unbounded: to integers, and rounding may decide which.
    """
    dtype = dtype or x.dtype
    if dtype.is_floating_point:
        b = lifted(x, x.dtype) if x.is_floating_point() else lifted(x, dtype)
        b = converted(b, x.dtype if x.is_floating_point() else dtype, dtype)
        own = isinstance(x, BoundedTensor) and b is x.bounded
        return tensor_of(b.like(b.value.copy("K"), b.error.copy("K")) if own else b, dtype)
    if not isinstance(x, BoundedTensor):
        return x.to(dtype)
    if dtype == torch.bool:
        return compared(np.not_equal, x, 0)
    if dtype.is_complex:
        raise Unbounded("complex numbers have no rounding bound")
    whole: Any = np.trunc(x.bounded)
    if whole.error.any():
        raise Unbounded(f"rounding may decide which {dtype} a number becomes")
    return torch.from_numpy(np.array(whole.value.astype(np.float64))).to(dtype)


@rule("convert_element_type")
def convert_element_type(x: Any, dtype: Any) -> Any:
    """_to_copy, of torch's prims"""
    return to_copy(x, dtype=dtype)


@rule("_local_scalar_dense", "item")
def item(x: BoundedTensor) -> Any:
    """A number that Python code decides by.

    Raises:
        Unbounded: rounding may change it.
    """
    b = x.bounded
    if b.error.any():
        raise Unbounded("a Python number would lose the rounding bound that a tensor carries")
    return bool(b.value.item()) if x.dtype == torch.bool else float(b.value.item())


def _made(name: str) -> Any:
    """Of a function that makes tensors of numbers that the type has."""
    function = getattr(torch.ops.aten, name)

    def make(*args: Any, **options: Any) -> Any:
        options = {k: v for k, v in options.items() if k not in ("device", "pin_memory", "layout")}
        made = function(*args, **options)
        return BoundedTensor.exact(made) if made.is_floating_point() else made

    return make


for _name in ("zeros", "ones", "full", "eye", "scalar_tensor"):
    rule(_name)(_made(_name))
rule("_efficientzerotensor")(_made("zeros"))


@rule("arange")
def arange(*args: Any, dtype: Any = None, **_: Any) -> Any:
    """start + i step, rounded twice"""
    made = torch.arange(*args, dtype=dtype)
    if not made.is_floating_point():
        return made
    start = args[0] if len(args) > 1 else 0
    step = args[2] if len(args) > 2 else 1
    return _progression(made, float(start), float(step), 2)


@rule("linspace")
def linspace(start: float, end: float, steps: int, *, dtype: Any = None, **_: Any) -> Any:
    """start + i (end - start) / (steps - 1), or as far from the end"""
    made = torch.linspace(start, end, steps, dtype=dtype)
    if not made.is_floating_point():
        return made
    return _progression(made, float(start), (end - start) / max(steps - 1, 1), 4)


def _progression(made: torch.Tensor, start: float, step: float, roundings: int) -> BoundedTensor:
    held = higher(NUMPY_TYPES[made.dtype])
    way = np.arange(made.numel(), dtype=held) * held.type(step)
    ends = abs(start) + float(np.abs(way).max(initial=0.0))
    b = bounded_of(held.type(start) + way, 0.0, made.dtype)
    return tensor_of(b.like(b.value, np.full(b.shape, roundings * b.u * ends)), made.dtype)
