"""Where numbers stand in order: greatest and least with their places, sorting, medians."""

from typing import Any

import numpy as np
import torch

from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.conversions import lifted, tensor_of
from torch_parity.compare.bounds.tensors.elementwise import applied
from torch_parity.compare.bounds.tensors.reductions import amax, amin
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.unbounded import Unbounded, Undetermined


def is_certain(x: Any, dim: int, first: int | None = None, largest: bool = True) -> bool:
    """Whether rounding cannot change which numbers along dim are the first ones in order, so many
    of them, nor their order: each is further from all that follow than both can be off."""
    if not isinstance(x, BoundedTensor) or not x.bounded.error.any():
        return True
    if not x.ndim:
        return True
    value, error = np.asarray(x.bounded.value), np.asarray(x.bounded.error)
    value = np.moveaxis(value if largest else -value, dim, -1)
    order = np.argsort(-value, axis=-1, kind="stable")
    value = np.take_along_axis(value, order, -1)
    error = np.take_along_axis(np.moveaxis(error, dim, -1), order, -1)
    highest = np.maximum.accumulate((value + error)[..., ::-1], axis=-1)[..., ::-1]
    return bool(((value - error)[..., :-1] > highest[..., 1:])[..., :first].all())


def _order(x: Any) -> torch.Tensor:
    """Plain numbers in the order of the values."""
    if not isinstance(x, BoundedTensor):
        return x
    return torch.from_numpy(np.array(x.bounded.value.astype(np.float64)))


def places(found: torch.Tensor, tied: bool) -> Any:
    """Indices, where ties leave none of them open."""
    return Undetermined(found) if tied else found


def _is_tied(x: torch.Tensor, dim: int) -> bool:
    """Two numbers along dim are the same, or none."""
    if not x.ndim or x.shape[dim] < 2:
        return False
    ordered = x.sort(dim).values
    n = x.shape[dim]
    return not bool((ordered.narrow(dim, 1, n - 1) > ordered.narrow(dim, 0, n - 1)).all())


def _best_is_tied(x: torch.Tensor, best: torch.Tensor, dim: int | None) -> bool:
    """More than one number is the best one, or none is a number."""
    same = x == best
    count = same.sum() if dim is None else same.sum(dim)
    return not bool((count == 1).all())


def _extreme(name: str) -> None:
    along = amax if name == "max" else amin
    arg = torch.argmax if name == "max" else torch.argmin
    pair = np.maximum if name == "max" else np.minimum

    def extreme(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        """The greatest or least number; along a dimension, its place as well"""
        if isinstance(dim, torch.Tensor):
            return applied(pair, x, dim)
        if not isinstance(x, BoundedTensor) and not x.is_floating_point():
            return getattr(torch, name)(x) if dim is None else getattr(torch, name)(x, dim, keepdim)
        if dim is None:
            return along(x)
        value = along(x, [dim], keepdim)
        return value, place(x, dim, keepdim)

    def place(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        """Where it stands"""
        plain = _order(x)
        by_row = x.reshape(-1) if dim is None else x
        if not is_certain(by_row, dim or 0, 1, name == "max"):
            raise Unbounded(
                f"aten::{name} with places: rounding may decide the order of these numbers"
            )
        found = arg(plain, dim, keepdim)
        if not plain.ndim:
            return found
        best = plain.amax(dim, True) if name == "max" else plain.amin(dim, True)
        if dim is None:
            best = plain.max() if name == "max" else plain.min()
        return places(found, _best_is_tied(plain, best, dim))

    rule(name)(extreme)
    rule(f"arg{name}")(place)


_extreme("max")
_extreme("min")


def _picked(x: Any, order: torch.Tensor, dim: int) -> BoundedTensor:
    """Numbers by their places along a dimension."""
    b = lifted(x, x.dtype)
    if not b.ndim:
        return tensor_of(b, x.dtype)
    at = order.numpy()
    value, error = (np.take_along_axis(a, at, dim) for a in (b.value, b.error))
    return tensor_of(b.like(value, error), x.dtype)


def _sorted_values(x: Any, order: torch.Tensor, dim: int) -> BoundedTensor:
    """The k-th number of a sorted row moves by no more than the greatest error of the row."""
    picked = _picked(x, order, dim)
    b = picked.bounded
    if isinstance(x, BoundedTensor) and x.bounded.error.any():
        most = x.bounded.error.max(dim, keepdims=True) if b.ndim else x.bounded.error
        return tensor_of(b.like(b.value, np.broadcast_to(most, b.shape).copy()), x.dtype)
    return picked


def _with_places(
    x: Any, found: Any, dim: int, first: int | None = None, largest: bool = True
) -> Any:
    """The numbers at the places that were found, and the places. first says how many of the
    greatest (or least) numbers there are to find."""
    values = _sorted_values(x, found.indices, dim)
    if not is_certain(x, dim, first, largest):
        return values, Undetermined()
    return values, places(found.indices, _is_tied(_order(x), dim))


@rule("sort")
def sort(x: Any, *args: Any, **options: Any) -> Any:
    """Numbers in order, and where they stood"""
    stable = options.pop("stable", None)
    if args and (isinstance(args[0], bool) or args[0] is None):
        stable, args = args[0], args[1:]
    dim, descending = [*args, *[None] * 2][:2]
    dim = options.get("dim", -1 if dim is None else dim)
    descending = options.get("descending", bool(descending))
    found = _order(x).sort(dim=dim, descending=descending, stable=True)
    if not x.is_floating_point():
        return tuple(found)
    values, at = _with_places(x, found, dim)
    if stable and isinstance(at, Undetermined) and at.as_computed is not None:
        at = at.as_computed
    return values, at


@rule("argsort")
def argsort(x: Any, *args: Any, **options: Any) -> Any:
    """Where the numbers in order stood"""
    return sort(x, *args, **options)[1]


@rule("topk")
def topk(
    x: Any,
    k: int,
    dim: int = -1,
    largest: bool = True,
    sorted: bool = True,  # noqa: A002
) -> Any:
    """The k greatest or least numbers, and where they stood"""
    found = _order(x).topk(k, dim, largest, True)
    if not x.is_floating_point():
        return tuple(found)
    values, at = _with_places(x, found, dim, k, largest)
    return (values, at) if sorted else (Undetermined(values), Undetermined(found.indices))


@rule("kthvalue")
def kthvalue(x: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The k-th least number, and where it stands"""
    found = _order(x).kthvalue(k, dim, True)
    values, at = _with_places(x, found, dim)
    return _squeezed(x, values, at, dim, keepdim)


@rule("median", "nanmedian")
def median(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The lower of the numbers in the middle, and where it stands"""
    if dim is None:
        return median(x.reshape(-1), 0)[0]
    found = _order(x).median(dim, True)
    values, at = _with_places(x, found, dim)
    return _squeezed(x, values, at, dim, keepdim)


def _squeezed(x: Any, values: Any, at: Any, dim: int, keepdim: bool) -> Any:
    if keepdim or not x.ndim:
        return values, at
    if isinstance(at, Undetermined):
        plain = at.as_computed
        at = Undetermined(plain.squeeze(dim) if isinstance(plain, torch.Tensor) else None)
    else:
        at = at.squeeze(dim)
    return values.squeeze(dim), at


def _cumulative(name: str) -> None:
    def extreme(x: Any, dim: int) -> Any:
        """The greatest or least number so far, and where it stands"""
        found = getattr(torch, name)(_order(x), dim)
        values, at = _with_places(x, found, dim)
        return values, at

    rule(name)(extreme)


_cumulative("cummax")
_cumulative("cummin")
