"""Sums of products: matrices, vectors, batches of both."""

from typing import Any

import numpy as np
import torch

from torch_parity.compare.bounds import products as bounded_products
from torch_parity.compare.bounds import sums
from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.conversions import (
    converted,
    inner_type,
    lifted,
    tensor_of,
)
from torch_parity.compare.bounds.tensors.elementwise import scaled
from torch_parity.compare.bounds.tensors.registry import rule


def inner(x: Any, dtype: torch.dtype) -> Any:
    """Numbers of this type in the one that torch computes in."""
    return converted(lifted(x, dtype), dtype, inner_type(dtype))


def outer(x: Any, dtype: torch.dtype) -> BoundedTensor:
    """What is computed there, rounded to this type."""
    if inner_type(dtype) == dtype:
        return tensor_of(x, dtype)
    return tensor_of(converted(x, inner_type(dtype), dtype), dtype)


@rule("mm", "bmm", "mv", "dot", "vdot")
def matmul(a: Any, b: Any, out_dtype: Any = None) -> BoundedTensor:
    """a @ b"""
    product = bounded_products.matmul(inner(a, a.dtype), inner(b, a.dtype))
    if out_dtype is not None and out_dtype != a.dtype:
        return tensor_of(converted(product, inner_type(a.dtype), out_dtype), out_dtype)
    return outer(product, a.dtype)


@rule("addmm", "baddbmm", "addmv", "_addmm_activation")
def addmm(
    c: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1, use_gelu: bool | None = None
) -> Any:
    """beta c + alpha a @ b"""
    product = bounded_products.matmul(inner(a, a.dtype), inner(b, a.dtype))
    return _beside(c, scaled(product, alpha), a.dtype, beta)


@rule("addbmm")
def addbmm(c: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta c + alpha (a_1 @ b_1 + ... + a_n @ b_n)"""
    x, y = inner(a, a.dtype), inner(b, a.dtype)
    product = bounded_products.einsum(x, "bij,bjk->ik", x, y)
    return _beside(c, scaled(product, alpha), a.dtype, beta)


def _beside(c: Any, product: Any, dtype: torch.dtype, beta: Any) -> Any:
    """beta c + product"""
    if beta != 0:
        product = np.add(product, scaled(inner(c, c.dtype), beta))
    return outer(product, dtype)


@rule("addr")
def addr(c: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> BoundedTensor:
    """beta c + alpha a b^T"""
    x, y = inner(a, a.dtype), inner(b, a.dtype)
    return _beside(c, scaled(x.reshape(-1, 1) * y.reshape(1, -1), alpha), a.dtype, beta)


@rule("_trilinear")
def trilinear(
    i1: Any, i2: Any, i3: Any, expand1: Any, expand2: Any, expand3: Any, sumdim: Any,
    unroll_dim: int = 1,
) -> BoundedTensor:  # fmt: skip
    """sum of i1 i2 i3 over sumdim, each expanded by new dimensions first"""
    operands: Any = (
        np.expand_dims(inner(i, i1.dtype), tuple(sorted(e)))
        for i, e in ((i1, expand1), (i2, expand2), (i3, expand3))
    )
    x, y, z = operands
    return outer(sums.total(x, x * y * z, tuple(sumdim)), i1.dtype)


@rule("linalg_cross")
def cross(x: Any, y: Any, *, dim: int = -1) -> BoundedTensor:
    """x_2 y_3 - x_3 y_2, ..."""
    a, b = inner(x, x.dtype), inner(y, x.dtype)
    shape = np.broadcast_shapes(a.shape, b.shape)
    operands: Any = [np.broadcast_to(z, shape) for z in (a, b)]
    (a1, b1), (a2, b2) = ([np.roll(z, -n, dim) for z in operands] for n in (1, 2))
    return outer(np.add(a1 * b2, np.negative(a2 * b1)), x.dtype)
