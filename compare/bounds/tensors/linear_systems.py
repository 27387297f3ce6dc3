"""Systems of equations and inverses.

What such an algorithm returns is the exact answer to a problem nearby: for A + dA in place of A,
where |dA| is a few units in the last place of A's largest entry for each row, or of each entry of a
triangle (Higham, Accuracy and Stability of Numerical Algorithms, 8 to 10). How far that moves the
answer to A x = b follows from the inverse:

    |dx| <= |A^-1| (|dA| |x| + |db|)

to the first order, taken twice; where A may be singular to the precision, it may be anything. The
values are computed in float64 and refined in the higher precision.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.tensors.conversions import lifted, tensor_of
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.unbounded import Unbounded

UNITS = 4  # of the largest entry, for each row
REFINED = 3  # times: each gains the digits of float64 once more


def turned(x: np.ndarray) -> np.ndarray:
    return np.swapaxes(x, -1, -2)


def backward_error(a: Bounded) -> np.ndarray:
    """What A may be off by: its own error, and that of an algorithm that is backward stable."""
    sizes = np.abs(a.value).max((-2, -1), keepdims=True, initial=0.0).astype(np.float64)
    return np.asarray(a.error + UNITS * a.shape[-1] * a.u * sizes)


def _of_triangle(a: Bounded) -> np.ndarray:
    """That of a triangular system: of each entry by itself."""
    return np.asarray(a.error + UNITS * a.shape[-1] * a.u * np.abs(a.value).astype(np.float64))


def inverse_of(a: np.ndarray) -> np.ndarray:
    """A^-1 in the precision of A.

    Raises:
        Unbounded: A has none.
    """
    try:
        found = np.linalg.inv(a.astype(np.float64)).astype(a.dtype)
    except np.linalg.LinAlgError as error:
        raise Unbounded(f"a matrix is singular: {error}") from None
    rest = np.eye(a.shape[-1], dtype=a.dtype)
    for _ in range(REFINED):
        found = found + found @ (rest - a @ found)
    return np.asarray(found)


def moved_by(inverse: np.ndarray, off: np.ndarray) -> np.ndarray:
    """2 |A^-1|, and infinite where A may be singular within its error."""
    size = np.abs(inverse).astype(np.float64)
    share = (size @ off).sum(-1).max(-1, initial=0.0)[..., None, None]
    return np.where(share < 0.5, 2 * size, np.inf)


def _solved(a: Bounded, off: np.ndarray, b: Bounded) -> Bounded:
    """x of A x = b, where A may be off by so much"""
    inverse = inverse_of(a.value)
    x = inverse @ b.value
    for _ in range(REFINED):
        x = x + inverse @ (b.value - a.value @ x)
    with np.errstate(invalid="ignore"):
        error = moved_by(inverse, off) @ (off @ np.abs(x).astype(np.float64) + b.error)
    return a.like(x, np.where(np.isnan(error), np.inf, error) + a.u * np.abs(x).astype(np.float64))


def systems(a: Any, b: Any, off: Callable[[Bounded], np.ndarray], left: bool = True) -> Bounded:
    """A x = b, or x A = b; b may be a batch of vectors for matrices in batches."""
    x, y = lifted(a, a.dtype), lifted(b, a.dtype)
    vectors = y.ndim == 1 or (y.ndim + 1 == x.ndim and y.shape == x.shape[:-1])
    y = y[..., None] if vectors else y
    if not left:
        return _solved(x.mT, turned(off(x)), y.mT).mT
    made = _solved(x, off(x), y)
    return made[..., 0] if vectors else made


def info_of(a: Any) -> torch.Tensor:
    return torch.zeros(a.shape[:-2], dtype=torch.int32)


@rule("linalg_inv_ex")
def inverse(a: Any, *, check_errors: bool = False) -> Any:
    """A^-1"""
    x = lifted(a, a.dtype)
    eye = x.like(np.eye(x.shape[-1], dtype=x.value.dtype), np.zeros((x.shape[-1],) * 2))
    return tensor_of(_solved(x, backward_error(x), eye), a.dtype), info_of(a)


@rule("linalg_solve_triangular")
def solve_triangular(
    a: Any, b: Any, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Any:
    """x of A x = b, or of x A = b; what stands on the other side of A's diagonal is not read"""
    ones = int(unitriangular)  # they stand on the diagonal, which is not read either
    triangle = torch.triu(a, ones) if upper else torch.tril(a, -ones)
    if unitriangular:
        triangle = triangle + torch.eye(a.shape[-1], dtype=a.dtype)
    return tensor_of(systems(triangle, b, _of_triangle, left), a.dtype)
