"""Numbers of one type as numbers of another, and which NumPy type stands for which of torch."""

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.bounded_numbers import VARIANTS
from torch_parity.compare.bounds.precise import higher
from torch_parity.compare.bounds.precision import BFLOAT16, precision, rounded
from torch_parity.compare.bounds.rules import size_of
from torch_parity.compare.bounds.tensors.tiers import WorstCase, current
from torch_parity.compare.bounds.tensors.unbounded import Unbounded

if TYPE_CHECKING:
    from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor

NUMPY_TYPES = {
    torch.float64: np.dtype(np.float64),
    torch.float32: np.dtype(np.float32),
    torch.float16: np.dtype(np.float16),
    torch.bfloat16: BFLOAT16,
    torch.bool: np.dtype(np.float32),  # a truth that rounding may decide either way: 1 or 0
}
HALVES = {torch.float16, torch.bfloat16}
LOSSLESS = {
    (torch.float16, torch.float32), (torch.float16, torch.float64),
    (torch.bfloat16, torch.float32), (torch.bfloat16, torch.float64),
    (torch.float32, torch.float64),
}  # fmt: skip


def bounded_of(value: np.ndarray, error: Any, dtype: torch.dtype) -> Bounded:
    """value +- error, judged as numbers of this type by what is judged by now."""
    now = current()
    kind, units = _units(dtype, now.tier, now.coarsest)
    error = np.asarray(error, np.float64)
    if error.shape != value.shape:
        error = np.broadcast_to(error, value.shape).copy()
    return kind(value, error, NUMPY_TYPES[dtype], None, units)


@cache
def _units(
    dtype: torch.dtype, tier: str, coarsest: np.dtype | None
) -> tuple[type[Bounded], tuple[float, float, float]]:
    kind = Bounded if tier == "walk" else WorstCase
    own = NUMPY_TYPES[dtype]
    zero = kind(np.zeros((), higher(own)), np.zeros(()), own)
    units = zero.u, zero.inner_u, zero.tiny
    if tier == "half" and coarsest is not None:
        u = VARIANTS * precision(coarsest).eps / 2
        units = max(u, units[0]), max(u, units[1]), max(precision(coarsest).tiny, units[2])
    return kind, units


def exact(tensor: torch.Tensor, dtype: torch.dtype | None = None) -> Bounded:
    """A plain tensor, which is what it is; integers too large for the type are rounded to it.

    Raises:
        Unbounded: it does not hold plain real numbers in memory.
    """
    if (
        tensor.is_complex()
        or tensor.layout is not torch.strided
        or tensor.is_quantized
        or tensor.is_nested
    ):
        raise Unbounded(f"a tensor that is {_kind(tensor)} has no rounding bound")
    dtype = tensor.dtype if dtype is None else dtype
    if dtype not in NUMPY_TYPES or (tensor.is_floating_point() and tensor.dtype not in NUMPY_TYPES):
        raise Unbounded(f"a tensor of {tensor.dtype} has no rounding bound")
    plain = tensor.detach().cpu().resolve_neg()
    if tensor.dtype in HALVES:
        plain = plain.float()
    own = tensor.dtype if tensor.is_floating_point() else torch.float64
    held = higher(NUMPY_TYPES[own])
    if not tensor.is_floating_point():
        held = higher(NUMPY_TYPES[dtype])
    with np.errstate(invalid="ignore"):  # memory that nothing was written into may hold any bits
        value = plain.numpy().astype(held)
    if tensor.is_floating_point():
        return converted(bounded_of(value, 0.0, own), own, dtype)
    result = bounded_of(value, 0.0, dtype)
    if tensor.dtype == torch.bool or not value.size:
        return result
    if size_of(value).max() <= 2 / result.eps:
        return result
    return _rounded_to(result, dtype)


def _kind(tensor: torch.Tensor) -> str:
    if tensor.is_quantized:
        return "quantized"
    if tensor.is_nested:
        return "nested"
    return "complex" if tensor.is_complex() else f"sparse ({tensor.layout})"


def converted(x: Any, source: torch.dtype, to: torch.dtype) -> Any:
    """The same numbers, rounded to another type."""
    if source == to:
        return x
    held = higher(NUMPY_TYPES[to])
    value, error = x.value, x.error
    if value.dtype != held:
        value = value.astype(held)
        if held == np.float64:
            error = error + size_of(x.value - value)
    result = bounded_of(value, error, to)
    if (source, to) in LOSSLESS or source == torch.bool or to == torch.bool:
        return result
    return _rounded_to(result, to)


def _rounded_to(x: Bounded, dtype: torch.dtype) -> Bounded:
    """Numbers that the type has stay as they are; the others are rounded."""
    kept = x.error == 0
    if dtype != torch.float64:
        kept = kept & (rounded(x.value, str(dtype).removeprefix("torch.")) == x.value)
    else:
        kept = kept & (x.value.astype(np.float64) == x.value)
    kept = kept | (np.isinf(x.value) & (x.error == 0)) | (np.isnan(x.value) & (x.error == 0))
    lost = np.where(kept, 0.0, x.error + x.u * size_of(x.value) + x.tiny * (x.value != 0))
    return x.like(x.value, lost)


def lifted(x: Any, dtype: torch.dtype) -> Any:
    """A bounded tensor, a plain one or a number, as numbers of this type."""
    from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor

    if isinstance(x, BoundedTensor):
        return converted(x.bounded, x.dtype, dtype)
    if isinstance(x, torch.Tensor):
        return exact(x, dtype)
    like = bounded_of(np.zeros((), higher(NUMPY_TYPES[dtype])), 0.0, dtype)
    return like.lift(float(x) if isinstance(x, bool) else x)


def tensor_of(bounded: Any, dtype: torch.dtype) -> "BoundedTensor":
    """Bounded numbers as a tensor that passes itself off as this type."""
    from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor

    return BoundedTensor(bounded, dtype)


def truth_tensor(truth: Any) -> Any:
    """A condition: a plain tensor where it is decided everywhere."""
    if isinstance(truth, Bounded):
        return tensor_of(truth, torch.bool)
    return torch.from_numpy(np.array(truth, dtype=bool))


def common_type(*operands: Any) -> torch.dtype:
    """What torch computes these in: the type of tensors and numbers put together."""
    first, *more = (x for x in operands if x is not None)
    found = first.dtype if isinstance(first, torch.Tensor) else torch.get_default_dtype()
    for x in more:
        found = torch.result_type(first, x)
        first = _stand_in(found, max(_dims(first), _dims(x)))
    return found


def _dims(x: Any) -> int:
    return x.ndim if isinstance(x, torch.Tensor) else -1


def _stand_in(dtype: torch.dtype, ndim: int) -> torch.Tensor:
    return torch.empty((0,) * max(ndim, 0), dtype=dtype)


def computed_type(*operands: Any) -> torch.dtype:
    """The same, for a function whose result is no integer."""
    found = common_type(*operands)
    return found if found.is_floating_point else torch.get_default_dtype()


def inner_type(dtype: torch.dtype) -> torch.dtype:
    """The type that torch computes in where a result of this type is asked for."""
    return torch.float32 if dtype in HALVES else dtype
