"""Sums of products: matmul of any dimensions, dot, tensordot, einsum."""

from collections.abc import Callable
from math import prod
from string import ascii_letters
from typing import TYPE_CHECKING, Any

import numpy as np

from torch_parity.compare.bounds.layout import moved
from torch_parity.compare.bounds.precise import precise_product
from torch_parity.compare.bounds.rules import size_of
from torch_parity.compare.bounds.sums import total

if TYPE_CHECKING:
    from torch_parity.compare.bounds.bounded import Bounded

# How many terms of doubtful sums are looked at in one go; it bounds the memory.
TERMS_AT_ONCE = 2**22
# The share of a bound that the judge's own product may be off by.
IMPRECISE = 0.01


def matmul(a: "Bounded", b: "Bounded") -> "Bounded":
    """a @ b; a vector is a row on the left, and a column on the right."""
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("matmul: a number alone has no rows; use *")
    rows = moved(a, lambda x: x[None, :]) if a.ndim == 1 else a
    columns = moved(b, lambda x: x[:, None]) if b.ndim == 1 else b
    dropped = tuple(axis for axis, x in ((-2, a), (-1, b)) if x.ndim == 1)
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), rows.shape[-2], columns.shape[-1])
    kept = tuple(n for i, n in enumerate(shape, -len(shape)) if i not in dropped)
    doubt = None
    if a.doubt is not None and a.doubt.shape == kept:
        doubt = a.doubt.reshape(shape)
    product = _product(rows, columns, doubt)
    return moved(product, lambda x: x.reshape(kept)) if dropped else product


def _product(a: "Bounded", b: "Bounded", doubt: np.ndarray | None) -> "Bounded":
    """Each entry sums k products                # (..., m, k), (..., k, n) -> (..., m, n)

    doubt says of the entries whether they are given their drift. If a has a doubt that is of
    another tensor, each entry is given the worst, or its drift where that is quick: where the terms
    of all entries, as in a variance, are no more numbers than a and b hold.
    """
    values = [x.value.astype(np.float64, copy=False) for x in (a, b)]
    sizes_a, sizes_b = (np.abs(x) for x in values)
    n, inner = a.shape[-1], a.inner
    drift: float | np.ndarray = 0.0 if a.doubt is None else np.inf
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    if a.doubt is not None and doubt is None and prod(shape) * n <= a.size + b.size:
        doubt = np.ones(shape, np.uint8)
    if doubt is not None:
        drift = np.where(doubt == 2, np.inf, 0.0)
        at = np.nonzero(doubt == 1)
        left = np.broadcast_to(values[0], (*doubt.shape[:-2], *values[0].shape[-2:]))
        right = np.broadcast_to(values[1], (*doubt.shape[:-2], *values[1].shape[-2:]))
        for some in np.array_split(np.arange(at[0].size), at[0].size * n // TERMS_AT_ONCE + 1):
            *batch, row, column = (places[some] for places in at)
            terms = left[(*batch, row)] * right.swapaxes(-1, -2)[(*batch, column)]
            drift[tuple(p[some] for p in at)] = a.drift(terms.T, inner.eps)
    units = a.sum_units(n, drift, a.inner_u)
    carried: Any = 0.0
    if b.error.any():
        carried = a.error @ (sizes_b + b.error) + sizes_a @ b.error
    elif a.error.any():
        carried = a.error @ sizes_b
    if any(_is_less(x, inner.tiny) for x in (sizes_a, sizes_b)):
        # AVX-512's products of bfloat16 read such numbers as 0
        lost_a, lost_b = (np.where(x < inner.tiny, x, 0.0) for x in (sizes_a, sizes_b))
        carried = carried + lost_a @ sizes_b + sizes_a @ lost_b
    rounded = units * (sizes_a @ sizes_b)
    value, imprecise = precise_product(a.value, b.value, rounded, IMPRECISE * rounded)
    error = carried + rounded + units * carried + n * a.lost_inside + imprecise
    if np.isnan(error.sum()):  # 0 times what may be anything
        error = np.where(np.isnan(error), np.inf, error)
    product = a.like(value, np.asarray(error + a.rounded_once(value)))
    product.begun = units
    return product


def _is_less(sizes: np.ndarray, tiny: float) -> bool:
    """Whether one of them is smaller, and not 0."""
    small = sizes < tiny
    return bool(small.any() and sizes[small].any())


def tensordot(b: "Bounded", x: Any, y: Any, axes: Any = 2) -> Any:
    """np.tensordot"""
    x, y = b.lift(x), b.lift(y)
    if isinstance(axes, int):
        axes = range(-axes, 0), range(axes)
    of_x, of_y = ([i % z.ndim for i in np.atleast_1d(a)] for a, z in zip(axes, (x, y), strict=True))
    labels_x = ascii_letters[: x.ndim]
    labels_y = list(ascii_letters[x.ndim : x.ndim + y.ndim])
    for i, j in zip(of_x, of_y, strict=True):
        if x.shape[i] != y.shape[j]:
            raise ValueError(f"tensordot: {x.shape} and {y.shape} differ along {i} and {j}")
        labels_y[j] = labels_x[i]
    out = [n for i, n in enumerate(labels_x) if i not in of_x]
    out += [n for j, n in enumerate(labels_y) if j not in of_y]
    return einsum(b, f"{labels_x},{''.join(labels_y)}->{''.join(out)}", x, y)


def dot(b: "Bounded", x: Any, y: Any) -> Any:
    """np.dot: the last axis of x with the last but one of y"""
    x, y = b.lift(x), b.lift(y)
    if x.ndim == 0 or y.ndim == 0:
        return x * y
    if x.ndim <= 2 and y.ndim <= 2:
        return np.matmul(x, y)
    return tensordot(b, x, y, ([-1], [max(y.ndim - 2, 0)]))


def inner(b: "Bounded", x: Any, y: Any) -> Any:
    """np.inner: the last axes of both"""
    x, y = b.lift(x), b.lift(y)
    return x * y if x.ndim == 0 or y.ndim == 0 else tensordot(b, x, y, ([-1], [-1]))


def outer(b: "Bounded", x: Any, y: Any) -> Any:
    """np.outer"""
    return b.lift(x).reshape(-1, 1) * b.lift(y).reshape(1, -1)


def einsum(b: "Bounded", spec: Any, *operands: Any, optimize: Any = None) -> Any:
    """np.einsum, in whatever order it is contracted."""
    if not isinstance(spec, str):
        raise NotImplementedError("np.einsum has a rounding bound where its labels are a string")
    arrays = [b.lift(x) for x in operands]
    terms, out = _labels(spec, [x.ndim for x in arrays])
    for i, labels in enumerate(terms):
        terms[i] = "".join(dict.fromkeys(labels))
        if terms[i] != labels:  # a diagonal
            diagonal = f"{labels}->{terms[i]}"
            arrays[i] = moved(arrays[i], lambda a, d=diagonal: np.einsum(d, a))  # type: ignore[misc]
    size: dict[str, int] = {}
    for labels, x in zip(terms, arrays, strict=True):
        for label, length in zip(labels, x.shape, strict=True):
            if size.setdefault(label, length) == 1:
                size[label] = length
            elif length not in (1, size[label]):
                raise ValueError(f"einsum {spec}: {label} is {size[label]} and {length} long")
    if len(arrays) == 1:
        return _sum_of_one(b, arrays[0], terms[0], out)
    if len(arrays) == 2:
        return _sum_of_two(arrays[0], arrays[1], terms[0], terms[1], out, size)
    return _sum_of_many(b, arrays, f"{','.join(terms)}->{out}", prod(size.values()))


def _labels(spec: str, dims: list[int]) -> tuple[list[str], str]:
    """One letter an axis: those that the dots stand for, and the output's, spelled out."""
    given, arrow, out = spec.replace(" ", "").partition("->")
    terms = given.split(",")
    if len(terms) != len(dims):
        raise ValueError(f"einsum {spec} is of {len(terms)} operands, and {len(dims)} came")
    free = [c for c in ascii_letters if c not in spec]
    dotted = [n - len(t) + 3 for t, n in zip(terms, dims, strict=True) if "..." in t]
    most = max(dotted, default=0)
    if not arrow:
        once = sorted(c for c in set(given) - set(",.") if given.count(c) == 1)
        out = ("..." if dotted else "") + "".join(once)
    dots = "".join(free[:most])
    for i, n in enumerate(dims):
        length = n - len(terms[i]) + 3
        terms[i] = terms[i].replace("...", dots[most - length :] if length > 0 else "")
        if len(terms[i]) != n:
            raise ValueError(f"einsum {spec}: operand {i} has {n} axes")
    return terms, out.replace("...", dots)


def _sum_of_one(b: "Bounded", x: "Bounded", labels: str, out: str) -> Any:
    summed = tuple(i for i, label in enumerate(labels) if label not in out)
    left = "".join(label for label in labels if label in out)
    result = total(b, x, summed) if summed else x
    return moved(result, lambda a: np.einsum(f"{left}->{out}", a))


def _sum_of_two(
    x: "Bounded", y: "Bounded", of_x: str, of_y: str, out: str, size: dict[str, int]
) -> "Bounded":
    """As one batched product: (batch, left, summed) @ (batch, summed, right)."""
    batch = [n for n in out if n in of_x and n in of_y]
    left = [n for n in out if n in of_x and n not in of_y]
    right = [n for n in out if n in of_y and n not in of_x]
    summed = [n for n in size if n not in out]
    a = _arranged(x, of_x, (batch, left, summed), size)
    b = _arranged(y, of_y, (batch, summed, right), size)
    made = [*batch, *left, *right]
    order = [made.index(n) for n in out]
    doubt = None
    if x.doubt is not None and x.doubt.shape == tuple(size[n] for n in out):
        doubt = x.doubt.transpose(np.argsort(order)) if order else x.doubt
        doubt = doubt.reshape(*a.shape[:-1], b.shape[-1])
    product = _product(a, b, doubt)
    shape = [size[n] for n in made]
    return moved(product, lambda z: z.reshape(shape).transpose(order))


def _arranged(
    x: "Bounded", labels: str, groups: tuple[list[str], ...], size: dict[str, int]
) -> Any:
    """x with the axes of each group in turn, each group one axis; absent axes are repeated."""
    wanted = [n for group in groups for n in group]
    order = [labels.index(n) for n in wanted if n in labels]
    new = tuple(i for i, n in enumerate(wanted) if n not in labels)
    full = [size[n] for n in wanted]
    flat = [prod(size[n] for n in group) for group in groups]

    def arrange(a: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.expand_dims(a.transpose(order), new), full).reshape(flat)

    return moved(x, arrange)


def _sum_of_many(b: "Bounded", arrays: "list[Bounded]", spec: str, products: int) -> "Bounded":
    """Of k operands: k - 2 more roundings a term, and what underflows is multiplied by the rest.

    prod(|x| + e) - prod(|x|), operand by operand, is what the errors bring.
    """
    sizes = [size_of(x.value) for x in arrays]
    reach = [s + x.error for s, x in zip(sizes, arrays, strict=True)]
    value = np.asarray(np.einsum(spec, *(x.value for x in arrays)))
    carried: Any = np.zeros(value.shape)
    for i, x in enumerate(arrays):
        if x.error.any():
            carried = carried + np.einsum(spec, *sizes[:i], x.error, *reach[i + 1 :])
    n = products // max(value.size, 1)
    units = b.sum_units(n + len(arrays) - 2, 0.0 if b.doubt is None else np.inf, b.inner_u)
    lost = n * b.inner.tiny * prod(float(np.maximum(r.max(initial=0.0), 1.0)) for r in reach)
    error = carried + units * (np.einsum(spec, *sizes) + carried) + lost
    return b.like(value, np.asarray(error + b.rounded_once(value)))


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.tensordot: tensordot,
    np.dot: dot,
    np.inner: inner,
    np.outer: outer,
    np.einsum: einsum,
}
