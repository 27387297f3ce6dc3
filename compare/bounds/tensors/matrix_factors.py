"""The factors of matrices, P A = L U and A = L L^T, determinants, and what is solved by them.

The factors are those of a matrix A + dA with |dA| of n units of |L| |U| (Higham, Accuracy and
Stability of Numerical Algorithms, 9 and 10). To the first order, taken twice, that moves them by

    |dL| <= |L| tril(F, -1) and |dU| <= triu(F) |U|,  F = |L^-1| |P dA| |U^-1|
    |dL| <= |L| low(F),  F = |L^-1| |dA| |L^-T|;  low halves the diagonal of tril(F)

and the determinant by |det A| sum |A^-1| |dA|^T.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.conversions import lifted, tensor_of
from torch_parity.compare.bounds.tensors.linear_systems import (
    UNITS,
    backward_error,
    info_of,
    inverse_of,
    moved_by,
    solve_triangular,
    systems,
    turned,
)
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.unbounded import Unbounded


@dataclass(frozen=True)
class Factors:
    """P A = L U: L below the diagonal and U above it in one matrix, and the pivots, which torch
    counts from 1."""

    both: Bounded
    pivots: np.ndarray

    def returned(self, dtype: torch.dtype) -> tuple[BoundedTensor, torch.Tensor]:
        """As torch returns them."""
        return tensor_of(self.both, dtype), torch.from_numpy(self.pivots)


def factors_of(a: Bounded) -> Factors:
    """By elimination, with the largest entry below as pivot.

    Raises:
        Unbounded: A is not square, or nearly singular, or rounding decides about a pivot.
    """
    n = a.shape[-1]
    if a.shape[-2] != n:
        raise Unbounded("L and U of matrices that are not square")
    value, error = a.value.reshape(-1, n, n).copy(), a.error.reshape(-1, n, n).copy()
    room = 8 * float(backward_error(a).max(initial=0.0))
    exact = not a.error.any()
    pivots = np.array([_eliminated(*of, room, exact) for of in zip(value, error, strict=True)])
    lower, upper = np.tril(value, -1) + np.eye(n, dtype=value.dtype), np.triu(value)
    size_l, size_u = (np.abs(x).astype(np.float64) for x in (lower, upper))
    error += min(n, UNITS * (np.sqrt(n) + 1)) * a.u * (size_l @ size_u)
    inverse_l, inverse_u = (np.abs(inverse_of(x)).astype(np.float64) for x in (lower, upper))
    share = inverse_l @ error @ inverse_u
    _require_regular(share)
    off = np.tril(size_l @ np.tril(share, -1), -1) + np.triu(np.triu(share) @ size_u)
    both = a.like(value.reshape(a.shape), 2 * off.reshape(a.shape))
    return Factors(both, pivots.reshape(a.shape[:-1]).astype(np.int32))


def _eliminated(m: np.ndarray, error: np.ndarray, room: float, exact: bool) -> list[int]:
    """One matrix in place, and the errors of A in the order of its rows. Of pivots that are equal
    and exact the first is taken."""
    pivots = []
    for i in range(len(m)):
        sizes = np.abs(m[i:, i]).astype(np.float64)
        best = int(sizes.argmax())
        rivals = 1 if exact and i == 0 else (sizes >= sizes[best] - room).sum()
        if sizes[best] == 0 or rivals > 1:
            raise Unbounded("rounding may decide which row is the pivot")
        rows = [i, i + best]
        m[rows], error[rows] = m[rows[::-1]], error[rows[::-1]]
        pivots.append(i + best + 1)
        m[i + 1 :, i] /= m[i, i]
        m[i + 1 :, i + 1 :] -= m[i + 1 :, i : i + 1] * m[i, i + 1 :]
    return pivots


def _require_regular(share: np.ndarray) -> None:
    """share is what the factors of A lose of themselves."""
    if not (share.sum(-1) < 0.5).all():
        raise Unbounded("a matrix that is nearly singular has no bound on its factors")


@rule("_linalg_solve_ex")
def solve(a: Any, b: Any, *, left: bool = True, check_errors: bool = False) -> Any:
    """x of A x = b, or of x A = b, and the factors L U of A"""
    made = tensor_of(systems(a, b, backward_error, left), a.dtype)
    return made, *factors_of(lifted(a, a.dtype)).returned(a.dtype), info_of(a)


@rule("linalg_lu_factor_ex")
def lu_factor(a: Any, *, pivot: bool = True, check_errors: bool = False) -> Any:
    """L and U in one matrix, and the pivots"""
    if not pivot:
        raise Unbounded("L U without pivots")
    return *factors_of(lifted(a, a.dtype)).returned(a.dtype), info_of(a)


@rule("linalg_lu_solve")
def lu_solve(
    lu: Any, pivots: torch.Tensor, b: Any, *, left: bool = True, adjoint: bool = False
) -> Any:
    """x of A x = b from the factors of A; adjoint: of A^T x = b; not left: of x A = b"""
    if not left:
        return lu_solve(lu, pivots, b.mT, adjoint=not adjoint).mT
    rows = _order(pivots, lu.shape[-1])
    if not adjoint:
        at = rows.expand(*b.shape[:-2], -1)[..., None].expand(b.shape)
        y = solve_triangular(lu, torch.gather(b, -2, at), upper=False, unitriangular=True)
        return solve_triangular(lu, y, upper=True)
    lower = torch.tril(lu, -1) + torch.eye(lu.shape[-1], dtype=lu.dtype)
    y = solve_triangular(torch.triu(lu).mT, b, upper=False)
    z = solve_triangular(lower.mT, y, upper=True)
    back = torch.argsort(rows, -1).expand(*b.shape[:-2], -1)[..., None].expand(b.shape)
    return torch.gather(z, -2, back)


def _order(pivots: torch.Tensor, n: int) -> torch.Tensor:
    """The rows of A in their order after all swaps."""
    flat = pivots.reshape(-1, pivots.shape[-1]).tolist()
    orders = []
    for swaps in flat:
        order = [*range(n)]
        for i, p in enumerate(swaps):
            order[i], order[p - 1] = order[p - 1], order[i]
        orders.append(order)
    return torch.tensor(orders).reshape(*pivots.shape[:-1], n)


def _determinant(a: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, Factors, Bounded]:
    """sign, log |det|, the error of that, and the factors of A^T"""
    x = lifted(a, a.dtype)
    found = factors_of(x.mT)
    diagonal = np.diagonal(found.both.value, axis1=-2, axis2=-1)
    swaps = (found.pivots != np.arange(1, x.shape[-1] + 1)).sum(-1)
    sign = np.sign(diagonal).prod(-1) * np.where(swaps % 2, -1.0, 1.0)
    with np.errstate(divide="ignore"):
        log = np.log(np.abs(diagonal)).sum(-1)
    off = backward_error(x)
    inverse = inverse_of(x.value)
    error = (moved_by(inverse, off) * turned(off)).sum((-2, -1))
    return sign, log, error, found, x


@rule("_linalg_slogdet")
def slogdet(a: Any) -> Any:
    """The sign and the logarithm of |det A|"""
    sign, log, error, found, x = _determinant(a)
    size = np.abs(np.log(np.abs(np.diagonal(found.both.value, axis1=-2, axis2=-1)))).sum(-1)
    error = error + UNITS * x.shape[-1] * x.u * size.astype(np.float64)
    both = x.like(np.asarray(sign), np.zeros(sign.shape)), x.like(np.asarray(log), error)
    made = (tensor_of(b, a.dtype) for b in both)
    return *made, *found.returned(a.dtype)


@rule("_linalg_det")
def determinant(a: Any) -> Any:
    """det A"""
    sign, log, error, found, x = _determinant(a)
    value = np.asarray(sign * np.exp(log))
    error = np.abs(value).astype(np.float64) * (error + UNITS * x.shape[-1] * x.u)
    return tensor_of(x.like(value, error), a.dtype), *found.returned(a.dtype)


@rule("linalg_cholesky_ex")
def cholesky(a: Any, *, upper: bool = False, check_errors: bool = False) -> Any:
    """L of A = L L^T, from the lower triangle of A, or L^T from the upper one"""
    x = lifted(a, a.dtype)
    x = x.mT if upper else x
    value, error = np.tril(x.value), np.tril(backward_error(x))
    off = error + turned(np.tril(error, -1))
    lower = np.zeros_like(value)
    for j in range(x.shape[-1]):
        rest = value[..., j:, j] - (lower[..., j:, :j] * lower[..., j : j + 1, :j]).sum(-1)
        if not (rest[..., 0] > 0).all():
            raise Unbounded("a matrix is not positive definite")
        lower[..., j:, j] = rest / np.sqrt(rest[..., :1])
    size = np.abs(inverse_of(lower)).astype(np.float64)
    share = size @ off @ turned(size)
    _require_regular(share)
    half = np.tril(share, -1) + np.tril(np.triu(share)) / 2
    moved = 2 * np.abs(lower).astype(np.float64) @ half + x.u * np.abs(lower).astype(np.float64)
    made = x.like(lower, np.tril(moved))
    return tensor_of(made.mT if upper else made, a.dtype), info_of(a)


@rule("cholesky_solve")
def cholesky_solve(b: Any, factor: Any, upper: bool = False) -> Any:
    """x of L L^T x = b"""
    lower = torch.triu(factor).mT if upper else torch.tril(factor)
    y = solve_triangular(lower, b, upper=False)
    return solve_triangular(lower.mT, y, upper=True)


@rule("cholesky_inverse")
def choleskyinverse_of(factor: Any, upper: bool = False) -> Any:
    """(L L^T)^-1"""
    eye = torch.eye(factor.shape[-1], dtype=factor.dtype).expand(factor.shape)
    return cholesky_solve(eye, factor, upper)


@rule("lu_unpack")
def lu_unpack(
    lu: Any, pivots: torch.Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> Any:
    """P, L and U of A = P L U"""
    n, none = lu.shape[-1], torch.empty(0, dtype=lu.dtype)
    p: Any = none
    if unpack_pivots:
        p = torch.nn.functional.one_hot(_order(pivots, n), n).mT.to(lu.dtype)
    p = BoundedTensor.exact(p)
    if not unpack_data:
        return p, BoundedTensor.exact(none), BoundedTensor.exact(none)
    return p, torch.tril(lu, -1) + torch.eye(n, dtype=lu.dtype), torch.triu(lu)
