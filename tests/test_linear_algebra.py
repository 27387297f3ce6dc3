"""Systems of equations, inverses, determinants and factors: torch's results lie within the bounds,
another matrix's do not, and programs that compute the same in another way pass."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.small_models import Applied
from torch_parity.compare.aten.check import check_model, check_modules
from torch_parity.compare.bounds.tensors import BoundedTensor, replay_call
from torch_parity.compare.bounds.tensors.unbounded import Unbounded

ATEN = torch.ops.aten
DTYPES = [torch.float32, torch.float64]
SEED = 11


def matrices(*shape: int, dtype: torch.dtype = torch.float64, positive: bool = False) -> Tensor:
    a = torch.randn(*shape, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
    if positive:
        a = a @ a.mT + torch.eye(shape[-1], dtype=torch.float64)
    return a.to(dtype)


def calls(n: int, dtype: torch.dtype) -> dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]]:
    a, s = matrices(2, n, n, dtype=dtype), matrices(2, n, n, dtype=dtype, positive=True)
    b = matrices(2, n, 3, dtype=dtype)
    factor, (lu, pivots) = torch.linalg.cholesky(s), torch.linalg.lu_factor(a)
    left = {"left": False}
    return {
        "solve": (ATEN._linalg_solve_ex.default, (a, b), {}),
        "solve from the right": (ATEN._linalg_solve_ex.default, (a, b.mT.contiguous()), left),
        "solve for vectors": (ATEN._linalg_solve_ex.default, (a, b[..., 0].contiguous()), {}),
        "inverse": (ATEN.linalg_inv_ex.default, (a,), {}),
        "lower": (ATEN.linalg_solve_triangular.default, (factor, b), {"upper": False}),
        "upper": (ATEN.linalg_solve_triangular.default, (a.triu() + 9 * a.diagonal(dim1=1, dim2=2)
                  .sign().diag_embed(), b), {"upper": True}),
        "ones": (ATEN.linalg_solve_triangular.default, (a / 9, b),
                 {"upper": True, "unitriangular": True}),
        "factors": (ATEN.linalg_lu_factor_ex.default, (a,), {}),
        "by factors": (ATEN.linalg_lu_solve.default, (lu, pivots, b), {}),
        "by factors, turned": (ATEN.linalg_lu_solve.default, (lu, pivots, b), {"adjoint": True}),
        "by factors, right": (ATEN.linalg_lu_solve.default, (lu, pivots, b.mT.contiguous()), left),
        "parts": (ATEN.lu_unpack.default, (lu, pivots), {}),
        "determinant": (ATEN._linalg_det.default, (a,), {}),
        "its logarithm": (ATEN._linalg_slogdet.default, (a,), {}),
        "cholesky": (ATEN.linalg_cholesky_ex.default, (s,), {}),
        "cholesky, upper": (ATEN.linalg_cholesky_ex.default, (s,), {"upper": True}),
        "by cholesky": (ATEN.cholesky_solve.default, (b, factor), {}),
        "inverse by cholesky": (ATEN.cholesky_inverse.default, (factor,), {}),
    }  # fmt: skip


NAMES = list(calls(2, torch.float64))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 6, 15])
@pytest.mark.parametrize("name", NAMES)
def test_torchs_results_lie_within_the_bounds(name: str, n: int, dtype: torch.dtype) -> None:
    overload, args, options = calls(n, dtype)[name]
    seen = overload(*args, **options)
    seen = seen if isinstance(seen, tuple) else (seen,)
    made = replay_call(overload, args, options)
    eps, worst = torch.finfo(dtype).eps, float(np.linalg.cond(args[0].double()).max())
    if name == "by cholesky":
        worst = float(np.linalg.cond(args[1].double()).max()) ** 2
    if name == "inverse by cholesky":
        worst = worst**2
    for i, (x, y) in enumerate(zip(made, seen, strict=True)):
        if not isinstance(x, BoundedTensor):
            assert torch.equal(torch.as_tensor(x), y), (name, i)
            continue
        gap = np.abs(x.bounded.value - y.double().numpy().astype(x.bounded.value.dtype))
        assert (gap <= x.bounded.error).all(), (name, i, f"seed {SEED}")
        size = 1 + np.abs(x.bounded.value).max(initial=0.0)
        assert x.bounded.error.max(initial=0.0) <= 60 * n * eps * worst * size, (name, i)


def test_what_has_no_bound() -> None:
    """A singular matrix, one that is not positive, and pivots that rounding decides."""
    for overload, a in (
        (ATEN.linalg_inv_ex.default, torch.ones(3, 3)),
        (ATEN.linalg_cholesky_ex.default, -torch.eye(3)),
        (ATEN.linalg_lu_factor_ex.default, torch.tensor([[1.0, 2, 3], [1, 5, 6], [1, -1, 9]])),
    ):
        with pytest.raises(Unbounded):
            replay_call(overload, (a,), {})


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("f", [torch.linalg.det, lambda a: torch.linalg.slogdet(a)[1]])
def test_the_layout_of_a_matrix_decides_what_is_factorized(f: Any, turned: bool) -> None:
    model = Applied(lambda m, x: f(x.mT if turned else x))
    report = check_model(model, matrices(4, 4).requires_grad_(), loss=lambda out: out)
    assert report.outcome == "PASS", str(report)


# --- programs


def kernel(m: Any, x: Tensor) -> Tensor:
    return m.a @ m.a.mT + torch.eye(len(m.a)).to(x)


def by_cholesky(m: Any, x: Tensor) -> Tensor:
    factor = torch.linalg.cholesky(kernel(m, x))
    return -0.5 * (x * torch.cholesky_solve(x, factor)).sum() - factor.diagonal().log().sum()


def by_triangles(m: Any, x: Tensor) -> Tensor:
    factor = torch.linalg.cholesky(kernel(m, x))
    z = torch.linalg.solve_triangular(factor, x, upper=False)
    return -0.5 * z.square().sum() - torch.linalg.slogdet(factor)[1]


def by_solving(m: Any, x: Tensor) -> Tensor:
    k = kernel(m, x)
    return -0.5 * (x * torch.linalg.solve(k, x)).sum() - 0.5 * torch.linalg.slogdet(k)[1]


def by_inverse(m: Any, x: Tensor, other: float = 1.0) -> Tensor:
    k = kernel(m, x)
    return -0.5 * (x * (torch.linalg.inv(k) @ x)).sum() - other * 0.5 * torch.logdet(k)


def without_jitter(m: Any, x: Tensor) -> Tensor:
    k = m.a @ m.a.mT
    return -0.5 * (x * torch.linalg.solve(k, x)).sum() - 0.5 * torch.logdet(k)


LIKELIHOODS = [by_cholesky, by_triangles, by_solving, by_inverse]
SOLUTIONS: list[Callable[..., Tensor]] = [
    lambda m, x: torch.linalg.solve(m.a, x),
    lambda m, x: torch.linalg.inv(m.a) @ x,
    lambda m, x: torch.linalg.solve(m.a.mT, x.mT, left=False).mT,
    lambda m, x: torch.linalg.lu_solve(*torch.linalg.lu_factor(m.a), x),
]


def model(f: Any, n: int, dtype: torch.dtype) -> nn.Module:
    made = Applied(f)
    made.a = nn.Parameter(matrices(n, n))
    return made.to(dtype)


def total(out: Tensor) -> Tensor:
    return (out * torch.linspace(0.5, 1.5, out.numel()).to(out).reshape(out.shape)).sum()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("of", [LIKELIHOODS, SOLUTIONS])
def test_the_same_in_another_way_passes(of: list[Any], dtype: torch.dtype) -> None:
    x = matrices(6, 2, dtype=dtype)
    for f, g in itertools.product(of, of):
        report = check_modules(model(f, 6, dtype), model(g, 6, dtype), x, loss=total)
        assert report.outcome == "PASS", f"seed {SEED}: {report}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_other_likelihoods_and_solutions_fail(dtype: torch.dtype) -> None:
    x = matrices(6, 2, dtype=dtype)
    wrong: list[tuple[Any, Any]] = [
        (by_cholesky, without_jitter),
        (by_cholesky, lambda m, x: by_inverse(m, x, 1.0000001)),
        (by_triangles, lambda m, x: by_inverse(m, x, 2.0)),
        (SOLUTIONS[0], lambda m, x: torch.linalg.solve(m.a.mT, x)),
        (SOLUTIONS[0], lambda m, x: torch.linalg.solve(m.a + 1e-9 * torch.eye(6).to(x), x)),
    ]
    for f, g in wrong:
        for one, other in ((f, g), (g, f)):
            report = check_modules(model(one, 6, dtype), model(other, 6, dtype), x, loss=total)
            assert report.outcome == "FAIL", f"seed {SEED}: {report}"
