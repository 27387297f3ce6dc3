"""Distances between points, |x_i - y_j|_p, and their gradients."""

from typing import Any

import numpy as np
import torch

from torch_parity.compare.bounds import products, sums
from torch_parity.compare.bounds.tensors.positions import numbered
from torch_parity.compare.bounds.tensors.products import inner, outer
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.scatter import summed
from torch_parity.compare.bounds.tensors.unbounded import Unbounded

# So many points take torch's way by a product, where it may choose.
MANY = 25


def length(apart: Any, p: float) -> Any:
    """The p-norm over the last axis."""
    if p == 0:
        raise Unbounded("a 0-norm has no rounding bound")
    if p == float("inf"):
        return np.max(np.absolute(apart), axis=-1)
    if p == 1:
        return sums.total(apart, np.absolute(apart), (-1,))
    if p == 2:
        return np.sqrt(sums.total(apart, apart * apart, (-1,)))
    return np.power(sums.total(apart, np.power(np.absolute(apart), p), (-1,)), 1 / p)


def slope(apart: Any, far: Any, p: float) -> Any:
    """The slope of the p-norm by each coordinate; 0 where both points are the same."""
    if p == 1:
        steep = np.sign(apart)
    elif p == 2:
        steep = apart / far
    elif p == float("inf"):
        greatest = np.equal(np.absolute(apart), far)
        steep = np.sign(apart) * np.where(greatest, 1.0, np.zeros_like(apart))
    elif p > 1:
        size = np.power(np.absolute(apart), p - 1)
        steep = np.sign(apart) * size / np.power(far, p - 1)
    else:
        raise Unbounded(f"the gradient of a {p}-norm has no rounding bound")
    return np.where(np.equal(far, far.lift(0.0)), 0.0, steep)


@rule("_cdist_forward")
def cdist(x: Any, y: Any, p: float, compute_mode: int | None = None) -> Any:
    """|x_i - y_j|_p; of many points, the root of sum x^2 + sum y^2 - 2 x y"""
    a, b = inner(x, x.dtype), inner(y, x.dtype)
    apart: Any = np.expand_dims(a, -2) - np.expand_dims(b, -3)
    many = compute_mode == 1 or (compute_mode != 2 and max(a.shape[-2], b.shape[-2]) > MANY)
    if p != 2 or not many:
        return outer(length(apart, p), x.dtype)
    first, second = (sums.total(z, z * z, (-1,), True) for z in (a, b))
    square: Any = np.add(np.add(first, second.mT), products.matmul(a * -2.0, b.mT))
    exact = sums.total(apart, apart * apart, (-1,)).value
    return outer(np.sqrt(np.maximum(square.like(exact, square.error), 0.0)), x.dtype)


@rule("_cdist_backward")
def cdist_backward(grad: Any, x: Any, y: Any, p: float, cdist: Any) -> Any:
    """sum over j of dd_ij times the slope of |x_i - y_j|_p"""
    g, far = (np.expand_dims(inner(z, x.dtype), -1) for z in (grad, cdist))
    apart: Any = np.expand_dims(inner(x, x.dtype), -2) - np.expand_dims(inner(y, x.dtype), -3)
    terms: Any = g * slope(apart, far, p)
    return outer(sums.total(terms, terms, (terms.ndim - 2,)), x.dtype)


def _pairs(n: int) -> tuple[Any, Any]:
    """The rows of every pair i < j, in order."""
    rows, columns = np.triu_indices(n, 1)
    return rows, columns


@rule("_pdist_forward")
def pdist(x: Any, p: float = 2) -> Any:
    """|x_i - x_j|_p of every pair"""
    a = inner(x, x.dtype)
    i, j = _pairs(x.shape[0])
    return outer(length(a[i] - a[j], p), x.dtype)


@rule("_pdist_backward")
def pdist_backward(grad: Any, x: Any, p: float, pdist: Any) -> Any:
    """Each pair's gradient goes to both of its points, with either sign"""
    a = inner(x, x.dtype)
    i, j = _pairs(x.shape[0])
    g, far = (np.expand_dims(inner(z, x.dtype), -1) for z in (grad, pdist))
    terms: Any = g * slope(a[i] - a[j], far, p)
    places = numbered(torch.empty(x.shape, device="meta"))
    both: Any = np.concatenate([terms, np.negative(terms)])
    return outer(summed(both, torch.cat([places[i], places[j]]), x.shape), x.dtype)
