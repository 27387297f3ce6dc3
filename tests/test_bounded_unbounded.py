"""What has no bound is refused by name; what the inputs do not determine is None; autograd runs on
bounded tensors."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.bounded_calls import A, use_of
from torch_parity.compare.bounds.tensors import BoundedTensor, Unbounded, replay_call

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
LENGTHS = torch.tensor([5, 5])


@pytest.mark.parametrize(
    ("overload", "args", "name"),
    [
        (A._fft_r2c.default, (torch.ones(2049), [0], 0, True), "more than 2048 numbers"),
        (A._linalg_svd.default, (X, False, True), "aten::_linalg_svd"),
        (A.linalg_inv_ex.default, (X @ X.T, False), "aten::linalg_inv_ex"),
        (A.linalg_qr.default, (torch.eye(3),), "aten::linalg_qr"),
        (A.mul.Tensor, (X.to(torch.complex64), X), "complex"),
        (A.mul.Tensor, (X.to_sparse(), X), "sparse"),
        (A.view.dtype, (X, torch.int32), "reads the bits"),
        (A.mul.Tensor, (X.to(torch.float8_e5m2), X), "float8_e5m2"),
    ],
    ids=lambda x: str(x)[:30],
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_unbounded(overload: Callable[..., object], args: tuple[object, ...], name: str) -> None:
    with pytest.raises(Unbounded, match=name):
        replay_call(overload, args, {})


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_quantized_numbers() -> None:
    quantized = torch.quantize_per_tensor(X, 0.1, 0, torch.qint8)
    with pytest.raises(Unbounded, match="quantized"):
        replay_call(A.dequantize.self, (quantized,), {})


@pytest.mark.parametrize(
    ("overload", "args"),
    [
        (A.bernoulli.p, (X, 0.3)),
        (A.normal_.default, (X.clone(),)),
        (A.rand_like.default, (X,)),
        (A.empty_like.default, (X,)),
        (A.new_empty.default, (X, [2])),
        (A.empty.memory_format, ([2],)),
        (A.randn.default, ([2],)),
    ],
)
def test_what_the_inputs_do_not_determine(
    overload: Callable[..., object], args: tuple[object, ...]
) -> None:
    assert replay_call(overload, args, {}) == [None]


def test_ties_leave_places_open() -> None:
    tied = torch.tensor([[1.0, 2.0, 2.0], [3.0, 1.0, 2.0]])
    values, at = replay_call(A.max.dim, (tied, 1), {})
    assert isinstance(values, BoundedTensor)
    assert at is None
    assert torch.equal(replay_call(A.max.dim, (tied[1:], 1), {})[1], torch.tensor([0]))
    assert replay_call(A.sort.default, (tied,), {})[1] is None
    assert replay_call(A.sort.stable, (tied,), {"stable": True})[1] is not None


def test_an_unknown_tier() -> None:
    with pytest.raises(ValueError, match="tier is one of walk, worst, half"):
        replay_call(A.relu.default, (X,), {}, tier="best")


def test_a_rounded_condition_has_no_bound() -> None:
    b = BoundedTensor.exact(X).exp().log() - BoundedTensor.exact(X)
    with pytest.raises(Unbounded, match="may decide this condition"):
        (b > 0).nonzero()
    with pytest.raises(Unbounded, match="would lose the rounding bound"):
        b.sum().item()


FUNCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    "mlp": lambda x, w: F.gelu(x @ w).tanh().sum(),
    "softmax": lambda x, w: (x @ w).softmax(1).log().mean(),
    "norm": lambda x, w: F.layer_norm(x @ w, (5,)).pow(3).sum(),
    "cross entropy": lambda x, w: F.cross_entropy(x @ w, torch.tensor([0, 3, 1])),
    "views": lambda x, w: (torch.cat([x[:, :2], x[:, 1:].flip(1)], 1) @ w.expand(5, 5)).prod(),
    "select": lambda x, w: ((x[1] * w[:, 2]).cumsum(0) * x.max(0).values).sum(),
    "in place": lambda x, w: (x @ w).mul_(2).relu_().sum(),
    "attention": lambda x, w: F.scaled_dot_product_attention(x @ w[:, :4], x, x).square().sum(),
    "einsum": lambda x, w: torch.einsum("ij,jk,ij->k", x, w, x).norm(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_autograd(name: str, dtype: torch.dtype) -> None:
    function = FUNCTIONS[name]
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        shapes = ((3, 4), (5, 5) if name == "views" else (4, 5))
        plain = [torch.randn(s, generator=generator).to(dtype).requires_grad_() for s in shapes]
        if name == "views":
            plain[1] = torch.randn(1, 5, generator=generator).to(dtype).requires_grad_()
        bounded = [BoundedTensor.exact(p).requires_grad_() for p in plain]
        seen = torch.autograd.grad(function(*plain), plain)
        expected = torch.autograd.grad(function(*bounded), bounded)
        exact = [p.detach().double().requires_grad_() for p in plain]
        reference = torch.autograd.grad(function(*exact), exact)
        for s, e, r in zip(seen, expected, reference, strict=True):
            assert isinstance(e, BoundedTensor)
            assert use_of(s, e.bounded) <= 1, f"seed {seed}"
            off = np.abs(e.bounded.value - r.numpy()).max() / float(r.abs().max())
            assert off < 1e-11, f"seed {seed}: {off}"
            assert e.bounded.error.max() < 1e-2 * float(r.abs().max()), f"seed {seed}"


def test_a_custom_function_is_differentiated_by_its_forward() -> None:
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
            return x * x

        @staticmethod
        def backward(ctx: object, grad: torch.Tensor) -> torch.Tensor:
            return grad

    x = BoundedTensor.exact(X).requires_grad_()
    with torch.enable_grad():
        y = Square.forward(None, x)
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert np.array_equal(grad.bounded.value, 2 * X.double().numpy())


def test_a_module_runs_on_them() -> None:
    module = nn.Sequential(nn.Linear(4, 6), nn.SiLU(), nn.Linear(6, 2))
    y = module(BoundedTensor.exact(X))
    assert use_of(module(X), y.bounded) <= 1


def errors(tier: str, dtype: torch.dtype) -> np.ndarray:
    x = torch.randn(3, 400, generator=torch.Generator().manual_seed(1)).to(dtype)
    (total,) = replay_call(A.sum.dim_IntList, (x, [1]), {}, tier)
    assert isinstance(total, BoundedTensor)
    return total.bounded.error


def test_each_tier_allows_more() -> None:
    walk, worst, half = (errors(tier, torch.bfloat16) for tier in ("walk", "worst", "half"))
    assert (walk < worst).all()
    assert (100 * worst < half).all()
    assert np.array_equal(errors("worst", torch.float32), errors("half", torch.float32))


def test_out_and_written_arguments() -> None:
    out = torch.empty(3, 4)
    (found,) = replay_call(A.add.out, (X, X), {"out": out})
    assert isinstance(found, BoundedTensor)
    assert np.array_equal(found.bounded.value, 2 * X.double().numpy())
    lists = [X.clone()], [X.clone()]
    (written,) = replay_call(A._foreach_add_.List, lists, {})
    assert isinstance(written, BoundedTensor)
    assert np.array_equal(written.bounded.value, 2 * X.double().numpy())
    assert torch.equal(lists[0][0], X), "the recorded tensor is left alone"


def test_integers_are_computed_by_torch() -> None:
    whole = torch.tensor([3, 1, 2])
    assert torch.equal(replay_call(A.add_.Tensor, (whole, 4), {})[0], whole + 4)
    assert torch.equal(whole, torch.tensor([3, 1, 2]))
    (real,) = replay_call(A.div.Tensor, (whole, 3), {})
    assert isinstance(real, BoundedTensor)
    assert use_of(whole / 3, real.bounded) <= 1


def test_a_bounded_number_is_not_written_into_a_plain_tensor() -> None:
    with pytest.raises(Unbounded, match="into a plain tensor"):
        torch.zeros(3, 4).add_(BoundedTensor.exact(X))
