"""Gradients that are zero, or nearly, in exact arithmetic, where a tensor that both models have has
rounding of its own that only one of them takes off again."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import torch_parity as tp

DTYPES = [torch.float64, torch.float32, torch.bfloat16]


class Norm(nn.Module):
    """A norm with a fresh weight and bias, written in one way or another."""

    def __init__(self, formula: Callable[[Tensor], Tensor], width: int = 8) -> None:
        super().__init__()
        self.formula = formula
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.formula(x) * self.weight + self.bias


def layer_norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, (x.shape[-1],))


def layer_norm_by_hand(x: Tensor, eps: float = 1e-5) -> Tensor:
    d = x - x.mean(-1, keepdim=True)
    return d / torch.sqrt((d * d).mean(-1, keepdim=True) + eps)


def batch_norm(x: Tensor) -> Tensor:
    return F.batch_norm(x, None, None, training=True)


def batch_norm_by_hand(x: Tensor, eps: float = 1e-5) -> Tensor:
    d = x - x.mean(0)
    return d * torch.rsqrt((d**2).sum(0) / len(x) + eps)


def group_norm(x: Tensor) -> Tensor:
    return F.group_norm(x, 2)


def group_norm_by_hand(x: Tensor, eps: float = 1e-5) -> Tensor:
    y = x.reshape(len(x), 2, -1)
    y = (y - y.mean(-1, keepdim=True)) / (y.var(-1, unbiased=False, keepdim=True) + eps).sqrt()
    return y.reshape(x.shape)


NORMS = {
    "layer": (layer_norm, layer_norm_by_hand),
    "batch": (batch_norm, batch_norm_by_hand),
    "group": (group_norm, group_norm_by_hand),
}


def models(
    first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]
) -> list[nn.Module]:
    made = [
        nn.Sequential(nn.Linear(8, 8), Norm(f), nn.Linear(8, 8), Norm(f)) for f in (first, second)
    ]
    made[1].load_state_dict(made[0].state_dict())
    return list(made)


def mean_square(output: Tensor) -> Tensor:
    """Of a norm it is 1 - eps / variance, whatever the weights before it."""
    return output.square().mean()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", NORMS)
def test_two_right_norms_pass(kind: str, dtype: torch.dtype) -> None:
    for seed in range(4):
        torch.manual_seed(seed)
        a, b = (model.to(dtype) for model in models(*NORMS[kind]))
        for first, second in ((a, b), (b, a)):
            report = tp.check_modules(
                first, second, torch.randn(16, 8, dtype=dtype), loss=mean_square
            )
            assert report.outcome == "PASS", (kind, dtype, seed, str(report))


class Scaled(torch.autograd.Function):
    """The gradient that arrives, with one part in 2^34 added."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, upstream: Tensor) -> Tensor:
        return upstream * (1 + 2.0**-34)


@pytest.mark.parametrize("kind", NORMS)
def test_a_gradient_that_is_nearly_right_fails(kind: str) -> None:
    """It is off by far less than a difference that no rounding explains would have to be."""
    first, second = NORMS[kind]
    for seed in range(4):
        torch.manual_seed(seed)
        a, b = models(first, lambda x: second(Scaled.apply(x)))
        x = torch.randn(16, 8, dtype=torch.float64)
        report = tp.check_modules(a.double(), b.double(), x, loss=lambda y: y.pow(3).mean())
        assert report.outcome == "FAIL", (kind, seed, str(report))


@pytest.mark.parametrize("kind", NORMS)
def test_a_loss_that_hides_the_norm_does_not_hide_its_eps(kind: str) -> None:
    first, second = NORMS[kind]
    torch.manual_seed(5)
    a, b = models(first, lambda x: second(x, 1.001e-5))
    report = tp.check_modules(a.double(), b.double(), torch.randn(16, 8).double(), loss=mean_square)
    assert report.outcome == "FAIL", (kind, str(report))
