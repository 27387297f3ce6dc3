"""Functions that move numbers and round none: value and error move alike."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from torch_parity.compare.bounds.bounded import Bounded

PADS_OF_ITS_OWN = {"edge", "reflect", "symmetric", "wrap"}


def moved(x: "Bounded", move: Callable[[Any], Any]) -> "Bounded":
    """x with its numbers in other places; a view if it is one of both value and error."""
    value, error = move(x.value), move(x.error)
    if np.may_share_memory(value, x.value) != np.may_share_memory(error, x.error):
        value, error = np.array(value), np.array(error)
    result = x.like(value, error)
    result.begun = move(x.begun) if np.ndim(x.begun) else x.begun
    result.exponential = x.exponential
    return result


def require_plain(name: str, given: Any) -> None:
    """Of an axis, a shape or an index.

    Raises:
        NotImplementedError: it is a rounded number.
    """
    parts = given if isinstance(given, tuple | list) else [given]
    if any(hasattr(part, "judged") for part in parts):
        raise NotImplementedError(f"{name}: places that are rounded numbers have no bound")


def _alike(function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(b: "Bounded", x: Any, *args: Any, **options: Any) -> "Bounded":
        require_plain(function.__name__, [*args, *options.values()])
        return moved(b.lift(x), lambda a: function(a, *args, **options))

    return rule


def _joined(function: Callable[..., Any], **first: int) -> Callable[..., Any]:
    """Several arrays into one; first is the axis that the function takes, if it takes one."""

    def rule(b: "Bounded", arrays: Sequence[Any], **options: Any) -> "Bounded":
        parts = [b.lift(x) for x in arrays]
        value = function([x.value for x in parts], **options)
        return b.like(value, function([x.error for x in parts], **options))

    def along(b: "Bounded", arrays: Sequence[Any], axis: int | None = 0) -> "Bounded":
        return rule(b, arrays, axis=axis)

    return along if first else lambda b, arrays: rule(b, arrays)


def _parted(function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(b: "Bounded", x: Any, *args: Any, **options: Any) -> Any:
        require_plain(function.__name__, [*args, *options.values()])
        x = b.lift(x)
        parts = (function(a, *args, **options) for a in (x.value, x.error))
        return [b.like(value, error) for value, error in zip(*parts, strict=True)]

    return rule


def pad(
    b: "Bounded",
    x: Any,
    pad_width: Any,
    mode: Any = "constant",
    constant_values: Any = 0,
    **how: Any,
) -> "Bounded":
    """np.pad with a constant, or with numbers of its own"""
    x = b.lift(x)
    if mode in PADS_OF_ITS_OWN:
        return moved(x, lambda a: np.pad(a, pad_width, mode, **how))
    if mode != "constant" or how:
        raise NotImplementedError(f"np.pad with {[mode, *how]} has no rounding bound")
    edge = b.lift(constant_values)
    return b.like(
        np.pad(x.value, pad_width, constant_values=edge.value.tolist()),
        np.pad(x.error, pad_width, constant_values=edge.error.tolist()),
    )


def _filled(fill: float, error: float = 0.0) -> Callable[..., Any]:
    def rule(
        b: "Bounded", x: Any, dtype: Any = None, order: str = "K", *, shape: Any = None
    ) -> "Bounded":
        """An array of exact numbers, shaped like x unless told otherwise."""
        b.require_judged(dtype)
        shape = b.lift(x).shape if shape is None else shape
        return b.like(np.full(shape, fill, b.value.dtype), np.full(shape, error))

    return rule


def _new(fill: float, error: float = 0.0) -> Callable[..., Any]:
    """np.zeros(shape, like=x)"""
    rule = _filled(fill, error)
    return lambda b, shape, dtype=None: rule(b, b, dtype, shape=shape)


def full_like(
    b: "Bounded", x: Any, fill_value: Any, dtype: Any = None, *, shape: Any = None
) -> Any:
    """np.full_like"""
    result = _filled(0.0)(b, x, dtype, shape=shape)
    result[...] = fill_value
    return result


def put_along_axis(b: "Bounded", arr: Any, indices: Any, values: Any, axis: int | None) -> None:
    """np.put_along_axis, which writes into arr."""
    b.require_bounded("np.put_along_axis", arr)
    require_plain("np.put_along_axis", indices)
    values = b.lift(values)
    np.put_along_axis(arr.value, indices, values.value, axis)
    np.put_along_axis(arr.error, indices, values.error, axis)


def copyto(b: "Bounded", dst: Any, src: Any) -> None:
    """dst[...] = src"""
    b.require_bounded("np.copyto", dst)
    dst[...] = src


MOVES = (
    np.reshape, np.ravel, np.transpose, np.matrix_transpose, np.swapaxes, np.moveaxis, np.rollaxis,
    np.squeeze, np.expand_dims, np.atleast_1d, np.atleast_2d, np.atleast_3d,
    np.broadcast_to, np.repeat, np.tile, np.flip, np.fliplr, np.flipud, np.roll, np.rot90,
    np.take, np.take_along_axis, np.diagonal, np.diag, np.tril, np.triu, np.copy, np.real,
    sliding_window_view,
)  # fmt: skip
PARTS = (np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit)

FUNCTIONS: dict[Any, Callable[..., Any]] = {
    **{function: _alike(function) for function in MOVES},
    **{function: _joined(function, axis=0) for function in (np.concatenate, np.stack)},
    **{function: _joined(function) for function in (np.vstack, np.hstack, np.dstack)},
    np.column_stack: _joined(np.column_stack),
    **{function: _parted(function) for function in PARTS},
    np.pad: pad,
    np.put_along_axis: put_along_axis,
    np.copyto: copyto,
    np.zeros_like: _filled(0.0),
    np.ones_like: _filled(1.0),
    np.empty_like: _filled(np.nan, np.inf),  # what is not written into it gets no PASS
    np.full_like: full_like,
    np.zeros: _new(0.0),
    np.ones: _new(1.0),
    np.empty: _new(np.nan, np.inf),
    np.shape: lambda b, x: x.shape,
    np.ndim: lambda b, x: x.ndim,
    np.size: lambda b, x, axis=None: x.size if axis is None else x.shape[axis],
}
