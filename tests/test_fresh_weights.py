"""Biases and optimizer states that are all 0 have the same numbers in many places; and gradients
that are 0 but for rounding."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.functional import scaled_dot_product_attention as attention

import torch_parity as tp

DTYPES = [torch.float32, torch.float64]


class Of(nn.Module):
    """A function of a module and its input; weights are its parameters."""

    def __init__(self, does: Callable[..., Tensor], **weights: Tensor) -> None:
        super().__init__()
        self.does = does
        for name, value in weights.items():
            self.register_parameter(name, nn.Parameter(value.clone()))

    def forward(self, x: Tensor) -> Tensor:
        return self.does(self, x)


def cubes(output: Tensor) -> Tensor:
    return output.pow(3).mean()


def outcomes(a: nn.Module, b: nn.Module, x: Tensor, loss: Any = cubes, **options: Any) -> set[str]:
    """In either order."""
    pairs = [tp.check_modules(*pair, x, loss=loss, **options) for pair in ((a, b), (b, a))]
    assert all(report.alignment.ends for report in pairs)
    return {report.outcome for report in pairs}


def fused(scale: float = 1.0) -> Callable[..., Tensor]:
    def does(m: Any, x: Tensor) -> Tensor:
        q, k, v = F.linear(x, m.w, m.wb).chunk(3, -1)
        return F.linear(attention(scale * q, k, v), m.o, m.ob)

    return does


def split(m: Any, x: Tensor) -> Tensor:
    q, k, v = F.linear(x, m.q, m.qb), F.linear(x, m.k, m.kb), F.linear(x, m.v, m.vb)
    return F.linear(attention(q, k, v), m.o, m.ob)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_a_fused_projection_with_fresh_biases(bias: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    w, o = torch.randn(12, 4) * 0.5, torch.randn(4, 4) * 0.5
    b, ob = bias * torch.randn(12), bias * torch.randn(4)
    parts = dict(zip("qkv", w.chunk(3), strict=True)) | {"o": o, "ob": ob}
    parts |= dict(zip(("qb", "kb", "vb"), b.chunk(3), strict=True))
    x = torch.randn(2, 3, 4, dtype=dtype)
    other = Of(split, **parts).to(dtype)
    for scale, expected in ((1.0, "PASS"), (2.0, "FAIL")):
        one = Of(fused(scale), w=w, wb=b, o=o, ob=ob).to(dtype)
        assert outcomes(one, other, x) == {expected}


class ByHand(nn.Module):
    """nn.MultiheadAttention with a linear layer each for queries, keys and values."""

    def __init__(self, of: nn.MultiheadAttention, swapped: bool = False) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(8, 8) for _ in range(4))
        with torch.no_grad():
            for i, layer in enumerate((self.q, self.k, self.v)):
                layer.weight.copy_(of.in_proj_weight[8 * i : 8 * i + 8])
                layer.bias.copy_(of.in_proj_bias[8 * i : 8 * i + 8])
            self.out.weight.copy_(of.out_proj.weight)
            self.out.bias.copy_(of.out_proj.bias)
        self.swapped = swapped

    def forward(self, x: Tensor) -> Tensor:
        heads = (f(x).view(*x.shape[:2], 2, 4).transpose(1, 2) for f in (self.q, self.k, self.v))
        q, k, v = heads
        mixed = attention(k, q, v) if self.swapped else attention(q, k, v)
        return self.out(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_fresh_multihead_attention(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    of = nn.MultiheadAttention(8, 2, batch_first=True)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mha = of

        def forward(self, x: Tensor) -> Tensor:
            return self.mha(x, x, x, need_weights=False)[0]  # type: ignore[no-any-return]

    x = torch.randn(2, 5, 8, dtype=dtype)
    assert outcomes(Whole().to(dtype), ByHand(of).to(dtype), x) == {"PASS"}
    assert outcomes(Whole().to(dtype), ByHand(of, swapped=True).to(dtype), x) == {"FAIL"}


class LazyAdagrad(torch.optim.Optimizer):
    """It makes its sums in the first step; torch's are there from the beginning."""

    def __init__(self, params: Any, lr: float, eps: float = 1e-10) -> None:
        super().__init__(params, {"lr": lr, "eps": eps})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                state.setdefault("s", torch.zeros_like(p))
                state["s"] += p.grad**2
                p -= group["lr"] * p.grad / (state["s"].sqrt() + group["eps"])


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_optimizers_state_of_zeros_is_no_fresh_weight(dtype: torch.dtype) -> None:
    torch.manual_seed(2)
    x = torch.randn(6, 3, dtype=dtype)
    for eps, expected in ((1e-10, "PASS"), (1e-3, "FAIL")):
        a = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)).to(dtype)
        b = copy.deepcopy(a)
        sides = [
            (a, LazyAdagrad(a.parameters(), 0.01, eps)),
            (b, torch.optim.Adagrad(b.parameters(), 0.01)),
        ]
        for (one, first), (other, second) in (sides, sides[::-1]):
            report = tp.check_modules(one, other, x, loss=cubes, optimizers=(first, second))
            assert report.outcome == expected, str(report)


def first(output: Tensor) -> Tensor:
    return output[0, 0, 0]


@pytest.mark.parametrize("seed", range(4))
def test_gradients_that_are_zero_behind_a_softmax_of_one(seed: int) -> None:
    """The first position sees itself alone: its query and key have no effect."""
    torch.manual_seed(seed)
    weights = {name: (torch.randn(8, 8) * 0.3).double() for name in "qkvo"}
    seen = torch.ones(2, 2, dtype=torch.bool).tril()

    def by_hand(scale: float) -> Callable[..., Tensor]:
        def does(m: Any, x: Tensor) -> Tensor:
            scores = scale * (x @ m.q) @ (x @ m.k).mT / 8**0.5
            return scores.masked_fill(~seen, -torch.inf).softmax(-1) @ (x @ m.v) @ m.o

        return does

    a = Of(lambda m, x: attention(x @ m.q, x @ m.k, x @ m.v, is_causal=True) @ m.o, **weights)
    x = torch.randn(1, 2, 8).double()
    assert outcomes(a, Of(by_hand(1.0), **weights), x, first) == {"PASS"}
    assert outcomes(a, Of(by_hand(1.5), **weights), x) == {"FAIL"}


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gradient_of_exactly_zero_on_one_side(dtype: torch.dtype) -> None:
    """A scan by steps and by cumulative sums: the first step does not depend on the decay."""
    torch.manual_seed(3)
    rate, x = torch.randn(3, dtype=dtype), torch.randn(2, 4, 3, dtype=dtype)

    def steps(m: Any, x: Tensor) -> Tensor:
        h, found = torch.zeros_like(x[:, 0]), []
        for t in range(4):
            h = torch.exp(-m.rate.exp()) * h + x[:, t]
            found.append(h)
        return torch.stack(found, 1)

    def sums(m: Any, x: Tensor) -> Tensor:
        logs = (-m.rate.exp()).expand(4, 3).cumsum(0)
        return torch.exp(logs) * (x * torch.exp(-logs)).cumsum(1)

    a, b = Of(steps, rate=rate), Of(sums, rate=rate)
    assert outcomes(a, b, x, first) == {"PASS"}
    late = Of(lambda m, x: sums(m, x).roll(1, 1), rate=rate)
    assert outcomes(a, late, x) == {"FAIL"}


@pytest.mark.parametrize("seed", range(3))
def test_a_token_without_a_gradient_is_no_padding(seed: int) -> None:
    """The last token of a sequence has no next one to predict: its row gets nothing on both sides,
    and the head that is cut off is what differs."""
    torch.manual_seed(seed)
    w, i = torch.randn(11, 8), torch.randint(0, 11, (2, 5))
    tied = Of(lambda m, i: torch.tanh(F.embedding(i, m.w)) @ m.w.T, w=w)
    cut = Of(lambda m, i: torch.tanh(F.embedding(i, m.w)) @ m.w.detach().T, w=w)

    def loss(output: Tensor) -> Tensor:
        return F.cross_entropy(output[:, :-1].reshape(-1, 11), i[:, 1:].reshape(-1))

    for pair in ((tied, cut), (cut, tied)):
        report = tp.check_modules(*pair, i, loss=loss)
        assert report.causes == ("detached",), str(report)


def test_a_bias_that_one_side_does_not_use_is_called_unused() -> None:
    torch.manual_seed(5)
    weights = {"w": torch.randn(4, 3), "b": torch.randn(3)}

    def norm(with_bias: bool) -> Callable[..., Tensor]:
        return lambda m, x: F.batch_norm(
            x @ m.w + (m.b if with_bias else 0), None, None, training=True
        )

    report = tp.check_modules(
        Of(norm(True), **weights), Of(norm(False), **weights), torch.randn(6, 4), loss=cubes
    )
    assert report.outcome == "FAIL"
    assert "b does not use it" in str(report)


@pytest.mark.parametrize("seed", range(3))
def test_a_factor_of_numbers_of_one_sign_is_no_activation(seed: int) -> None:
    torch.manual_seed(seed)
    w, x = torch.randn(4, 3), torch.rand(6, 1)

    def waves(width: float) -> Callable[..., Tensor]:
        rates = torch.exp(-torch.arange(4.0) / width)
        return lambda m, x: torch.cos(x * rates.to(x.dtype)) @ m.w

    report = tp.check_modules(Of(waves(4), w=w), Of(waves(3), w=w), x, loss=cubes)
    assert report.outcome == "FAIL"
    assert not {"activation_other", "activation_missing"} & set(report.causes), str(report)


def test_a_power_of_numbers_of_one_sign_is_no_activation() -> None:
    """Focal loss with gamma 1 for gamma 2: (1 - p)^2 is no squared relu that is left out."""

    def focal(gamma: float) -> Callable[..., Tensor]:
        def loss(m: Any, x: Tensor) -> Tensor:
            share = (x @ m.w).log_softmax(1)[:, 0]
            return -((1 - share.exp()) ** gamma * share)

        return loss

    torch.manual_seed(5)
    w, x = torch.randn(4, 3), torch.randn(6, 4)
    report = tp.check_modules(Of(focal(2), w=w), Of(focal(1), w=w), x, loss=cubes)
    assert report.outcome == "FAIL"
    assert not {"activation_other", "activation_missing"} & set(report.causes), str(report)


class Norm(nn.Module):
    """Batch norm by hand: parameters g and b, buffers m and v, all as fresh as torch's own."""

    def __init__(self, n: int, momentum: float, counts: bool) -> None:
        super().__init__()
        self.momentum = momentum
        self.g, self.b = nn.Parameter(torch.ones(n)), nn.Parameter(torch.zeros(n))
        self.register_buffer("m", torch.zeros(n))
        self.register_buffer("v", torch.ones(n))
        if counts:
            self.register_buffer("calls", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self.m, self.v
        if self.training:
            mean, var, n = x.mean(0), x.var(0, unbiased=False), len(x)
            with torch.no_grad():
                self.m.lerp_(mean, self.momentum)
                self.v.lerp_(var * n / (n - 1), self.momentum)
                if hasattr(self, "calls"):
                    self.calls += 1
        return (x - mean) / torch.sqrt(var + 1e-5) * self.g + self.b


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("counts", [True, False])
def test_a_fresh_batch_norm_under_other_names(training: bool, counts: bool) -> None:
    """Its bias is no running mean, though both are 0: only one has a gradient. And a batch norm
    without momentum=None does not use how many batches it has counted."""
    torch.manual_seed(0)
    first, last = nn.Linear(4, 6), nn.Linear(6, 3)
    x = torch.randn(8, 4)

    def net(norm: nn.Module) -> nn.Module:
        return nn.Sequential(
            copy.deepcopy(first), norm, nn.ReLU(), copy.deepcopy(last)
        ).train(training)  # fmt: skip

    a = net(nn.BatchNorm1d(6))
    assert outcomes(a, net(Norm(6, 0.1, counts)), x) == {"PASS"}
    if training:
        assert outcomes(a, net(Norm(6, 0.9, counts)), x) == {"FAIL"}
        used = net(nn.BatchNorm1d(6, momentum=None))
        assert "PASS" not in outcomes(used, net(Norm(6, 1.0, counts=False)), x)
