"""Operations that move numbers and round none: one rule for all of them.

The ATen operation itself runs on the positions of the numbers, 1, 2, 3..., in int64. What stands in
its result says which number went where; 0 is what the operation fills with zeros. Views are not
copied: the operation runs on a tensor without memory, and its strides are NumPy's.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided as strided

from torch_parity.compare import torch_private
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.conversions import common_type, lifted, tensor_of
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.unbounded import Unbounded

MOVES = {
    "_masked_index", "_pack_padded_sequence_backward", "_reshape_alias_copy", "_reshape_copy",
    "_unsafe_index", "_unsafe_view", "_upsample_nearest_exact1d", "_upsample_nearest_exact2d",
    "_upsample_nearest_exact3d", "alias_copy", "as_strided_copy", "block_diag", "cat",
    "channel_shuffle", "column_stack", "constant_pad_nd", "detach_copy", "diag_embed",
    "diagonal_backward", "diagonal_copy", "diagonal_scatter", "embedding", "expand_copy",
    "flip", "gather", "hstack", "im2col", "index", "index_copy", "index_fill.int_Scalar",
    "index_fill.int_Tensor", "index_select", "lift_fresh_copy", "masked_scatter",
    "masked_select", "narrow_copy", "native_channel_shuffle", "permute_copy", "pixel_shuffle",
    "pixel_unshuffle", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "repeat",
    "repeat_interleave.self_Tensor", "repeat_interleave.self_int", "replication_pad1d",
    "replication_pad2d", "replication_pad3d", "roll", "rot90", "scatter.src", "scatter.value",
    "select_backward", "select_scatter", "slice_backward", "slice_scatter", "split_copy",
    "split_with_sizes_copy", "squeeze_copy", "stack", "t_copy", "take", "transpose_copy",
    "tril", "triu", "unbind_copy", "unfold_copy", "unsafe_chunk", "unsafe_split",
    "unsafe_split_with_sizes", "unsqueeze_copy", "upsample_nearest1d", "upsample_nearest2d",
    "upsample_nearest3d", "view_copy", "vstack",
}  # fmt: skip
JOINS = {"cat", "stack", "hstack", "vstack", "column_stack", "block_diag"}
FILLS = {"value", "fill_value"}


def numbered(x: torch.Tensor, start: int = 1) -> torch.Tensor:
    """The positions of its numbers: start, start + 1, ..."""
    return torch.arange(start, start + x.numel()).reshape(x.shape)


def gathered(pool: Bounded, places: torch.Tensor | np.ndarray) -> Bounded:
    """The numbers at these positions of a pool that begins with the 0 of fills."""
    at = np.asarray(places)
    at = at if at.dtype == np.int64 else at.astype(np.int64)
    return pool.like(pool.value.take(at), pool.error.take(at))


def pool_of(*parts: Bounded) -> Bounded:
    """A 0, and then all numbers of each."""
    first = parts[0]
    value = np.concatenate([np.zeros(1, first.value.dtype), *(x.value.ravel() for x in parts)])
    return first.like(value, np.concatenate([np.zeros(1), *(x.error.ravel() for x in parts)]))


def moved(func: Any) -> Callable[..., Any]:
    """The rule of an operation that moves numbers."""
    name = torch_private.overload_name(func).split("::")[1].split(".")[0]
    fills = [a.name for a in torch_private.arguments_of(func)]
    fills_at = [i for i, each in enumerate(fills) if each in FILLS]

    def handler(*args: Any, **kwargs: Any) -> Any:
        leaves = [x for x in torch_private.flattened([args, kwargs]) if _carries(x, name)]
        truths = [x for x in leaves if x.dtype == torch.bool]
        if leaves and len(truths) not in (0, len(leaves)):
            raise Unbounded(f"{func}: rounding may decide either way where numbers are put")
        dtype = common_type(*leaves) if leaves else torch.get_default_dtype()
        parts: list[Bounded] = []
        start = 1

        def replaced(x: Any) -> Any:
            nonlocal start
            if not _carries(x, name):
                return x
            parts.append(lifted(x, dtype))
            start += x.numel()
            return numbered(x, start - x.numel())

        def filled(x: Any) -> Any:
            nonlocal start
            if isinstance(x, torch.Tensor) or x is None or x == 0:
                return x
            stored = x if dtype == torch.bool else torch.full((), x, dtype=dtype)
            parts.append(lifted(stored, dtype))  # the number that the type has for it
            start += 1
            return start - 1

        places = [torch_private.mapped(replaced, x) for x in args]
        named = {key: torch_private.mapped(replaced, x) for key, x in kwargs.items()}
        places = [filled(x) if i in fills_at else x for i, x in enumerate(places)]
        named = {key: filled(x) if key in FILLS else x for key, x in named.items()}
        pool = pool_of(*parts)
        found = _run(func, places, named)

        def taken(x: torch.Tensor) -> BoundedTensor:
            return tensor_of(gathered(pool, x), dtype)

        return torch_private.mapped(taken, found)

    return handler


def _carries(x: Any, name: str) -> bool:
    """A tensor whose numbers are moved, not one that says where to."""
    if not isinstance(x, torch.Tensor):
        return False
    return isinstance(x, BoundedTensor) or x.is_floating_point() or name in JOINS


def _run(func: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """On integers, or on float64 (which has 53 bits for a position) where it takes none."""
    try:
        return func(*args, **kwargs)
    except (RuntimeError, NotImplementedError) as error:
        if "not implemented for" not in str(error):
            raise
    args, kwargs = torch_private.mapped(_as_float, (args, kwargs))
    return func(*args, **kwargs)


def _as_float(x: Any) -> Any:
    return x.double() if isinstance(x, torch.Tensor) and x.dtype == torch.int64 else x


def seen(func: Any) -> Callable[..., Any]:
    """The rule of a view, which shares the numbers of its base."""
    if torch_private.overload_name(func) == "aten::view.dtype":

        def other_bits(*args: Any) -> Any:
            raise Unbounded("aten::view.dtype reads the bits of numbers as other numbers")

        return other_bits
    copied = moved(torch.ops.aten._unsafe_view.default)
    reshapes = torch_private.overload_name(func) in ("aten::view", "aten::_reshape_alias")

    def handler(x: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(x, BoundedTensor):
            return func(x, *args, **kwargs)
        empty = torch.empty_strided(x.shape, x.stride(), device="meta")
        try:
            found = func(empty, *args, **kwargs)
        except RuntimeError:
            if not reshapes:
                raise
            return copied(x, args[0])
        return torch_private.mapped(lambda view: viewed(x, view), found)

    return handler


def viewed(x: BoundedTensor, view: torch.Tensor) -> BoundedTensor:
    """The numbers of x as a view of its memory has them."""
    size, steps, start = view.shape, view.stride(), int(view.storage_offset())
    whole = x.bounded
    parts = []
    for array in (whole.value, whole.error):
        if start:
            array = _from(array, start)
        strides = [step * array.itemsize for step in steps]
        parts.append(strided(array, tuple(size), strides))
    result = whole.like(*parts)
    if np.ndim(whole.begun) == 0:
        result.begun = whole.begun
    result.exponential = whole.exponential
    return tensor_of(result, x.dtype)


def _from(array: np.ndarray, start: int) -> np.ndarray:
    """Its memory from an entry on, as one axis."""
    extent = 1 + sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)) // (
        array.itemsize
    )
    flat = strided(array, (max(extent, start + 1),), (array.itemsize,))
    return flat[start:]


@rule("as_strided")
def as_strided(x: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """Entries by their place in memory, which has to be a place that x covers."""
    start = x.storage_offset()
    memory = torch.zeros(_extent(x.shape, x.stride(), 0), dtype=torch.int64)
    memory.as_strided(x.shape, x.stride()).copy_(numbered(x))
    offset = (start if storage_offset is None else storage_offset) - start
    if offset < 0 or _extent(size, stride, offset) > memory.numel():
        raise Unbounded("aten::as_strided reads memory outside of its argument")
    places = memory.as_strided(size, stride, offset)
    if places.numel() and not places.all():
        raise Unbounded("aten::as_strided reads memory outside of its argument")
    return tensor_of(gathered(pool_of(lifted(x, x.dtype)), places), x.dtype)


def _extent(size: Any, stride: Any, offset: int) -> int:
    """How many entries of memory this reaches over."""
    if 0 in size:
        return 0
    return offset + 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True))


@rule("clone", "contiguous")
def clone(x: Any, *, memory_format: Any = None) -> Any:
    """A copy."""
    order: Any = "C" if memory_format is torch.contiguous_format else "K"
    b = lifted(x, x.dtype)
    return tensor_of(b.like(b.value.copy(order), b.error.copy(order)), x.dtype)
