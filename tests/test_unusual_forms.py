"""Right programs in unusual forms pass; what a forward changes besides its output is compared."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from torch.utils.checkpoint import checkpoint

from tests.small_models import Applied, linear, squares, x_of
from torch_parity.compare.aten.check import check_modules
from torch_parity.compare.errors import InputError

Forward = Callable[..., Any]
EYE = torch.eye(4, 3).bool()
TRIANGLE = torch.ones(4, 4).tril()


def inner() -> dict[str, nn.Module]:
    torch.manual_seed(7)
    return {
        "norm": nn.LayerNorm(3),
        "conv": nn.Conv2d(2, 3, 3, padding=1),
        "second": nn.Linear(3, 3),
    }


def plain(m: Any, x: Tensor) -> Tensor:
    out: Tensor = m.fc(x).relu()
    return out


def layer(m: Any, x: Tensor) -> Tensor:
    out: Tensor = m.fc(x)
    return out


def by_unfold(m: Any, x: Tensor) -> Tensor:
    rows = F.unfold(x, 3, padding=1).transpose(1, 2) @ m.conv.weight.reshape(3, -1).T
    return (rows + m.conv.bias).transpose(1, 2).reshape(2, 3, 6, 6)


def by_shifts(m: Any, x: Tensor) -> Tensor:
    padded, out = F.pad(x, (1, 1, 1, 1)), m.conv.bias[:, None, None]
    for i in range(3):
        for j in range(3):
            window = padded[:, :, i : i + 6, j : j + 6]
            out = out + torch.einsum("bchw,oc->bohw", window, m.conv.weight[:, :, i, j])
    return out


def bias_as_ones(m: Any, x: Tensor) -> Tensor:
    ones = torch.cat([x, x.new_ones(len(x), 1)], 1)
    return ones @ torch.cat([m.fc.weight, m.fc.bias[:, None]], 1).T


def norm_by_hand(m: Any, x: Tensor) -> Tensor:
    z = m.fc(x)
    var, mean = torch.var_mean(z, -1, correction=0, keepdim=True)
    out: Tensor = (z - mean) * torch.rsqrt(var + 1e-5) * m.norm.weight + m.norm.bias
    return out


def softmax_by_hand(m: Any, x: Tensor) -> Tensor:
    powers = (m.fc(x) - m.fc(x).amax(1, keepdim=True)).exp()
    return powers / powers.sum(1, keepdim=True)


def gelu_by_erf(m: Any, x: Tensor) -> Tensor:
    z = m.fc(x)
    return z * 0.5 * (1 + torch.erf(z / 2**0.5))


def attention(m: Any, x: Tensor) -> Tensor:
    z = m.fc(x)[None]
    return F.scaled_dot_product_attention(z, z, z, is_causal=True)


def attention_by_hand(m: Any, x: Tensor) -> Tensor:
    z = m.fc(x)
    scores = (z @ z.T / 3**0.5).masked_fill(TRIANGLE == 0, float("-inf"))
    return (scores.softmax(-1) @ z)[None]


def by_index_put(m: Any, x: Tensor) -> Tensor:
    z = m.fc(x) * 1
    z[EYE] = 0.0
    return z


def sorted_and_back(m: Any, x: Tensor) -> Tensor:
    values, places = m.fc(x).relu().sort(1)
    return values.gather(1, places.argsort(1))


def by_autograd(m: Any, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    (found,) = torch.autograd.grad(m.fc(x).square().sum(), x, create_graph=True)
    return found


def in_bfloat16(m: Any, x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out: Tensor = m.fc(x)
    return out


def functional(m: Any, x: Tensor) -> Any:
    return torch.func.functional_call(m.fc, {n: p * 1 for n, p in m.fc.named_parameters()}, (x,))


SQUARED = lambda m, x: 2 * m.fc(x) @ m.fc.weight  # noqa: E731
IMAGES = (2, 2, 6, 6)
# a program, the same in another form, the shape of the input
FORMS: dict[str, tuple[Forward, Forward, tuple[int, ...]]] = {
    "einsum": (
        layer,
        lambda m, x: torch.einsum("bi,oi->bo", x, m.fc.weight) + m.fc.bias,
        (4, 5),
    ),
    "a row at a time": (layer, lambda m, x: torch.stack([m.fc(r) for r in x]), (4, 5)),
    "a unit at a time": (
        layer,
        lambda m, x: torch.stack([x @ m.fc.weight[i] + m.fc.bias[i] for i in range(3)], 1),
        (4, 5),
    ),
    "chunks": (layer, lambda m, x: torch.cat([m.fc(c) for c in x.chunk(2)]), (4, 5)),
    "bias as a column": (layer, bias_as_ones, (4, 5)),
    "convolution by unfold": (lambda m, x: m.conv(x), by_unfold, IMAGES),
    "convolution by shifts": (lambda m, x: m.conv(x), by_shifts, IMAGES),
    "channels last": (
        lambda m, x: m.conv(x),
        lambda m, x: m.conv(x.to(memory_format=torch.channels_last)),
        IMAGES,
    ),
    "checkpoint": (
        plain,
        lambda m, x: checkpoint(lambda z: plain(m, z), x, use_reentrant=False),
        (4, 5),
    ),
    "in place": (plain, lambda m, x: F.relu_(m.fc(x)), (4, 5)),
    "in a slice": (
        lambda m, x: m.fc(x).masked_fill(EYE, 0.0),
        by_index_put,
        (4, 5),
    ),
    "views": (
        lambda m, x: m.fc(x).reshape(2, 6),
        lambda m, x: m.fc(x).view(2, 2, 3).permute(0, 1, 2).flatten(1),
        (4, 5),
    ),
    "not contiguous": (layer, lambda m, x: m.fc(x.T.contiguous().T), (4, 5)),
    "two products": (
        lambda m, x: x @ m.fc.weight.T @ m.second.weight.T,
        lambda m, x: x @ (m.second.weight @ m.fc.weight).T,
        (4, 5),
    ),
    "norm by hand": (lambda m, x: m.norm(m.fc(x)), norm_by_hand, (4, 5)),
    "softmax by hand": (lambda m, x: m.fc(x).softmax(1), softmax_by_hand, (4, 5)),
    "gelu by erf": (lambda m, x: F.gelu(m.fc(x)), gelu_by_erf, (4, 5)),
    "tanh by sigmoid": (
        lambda m, x: m.fc(x).tanh(),
        lambda m, x: 2 * torch.sigmoid(2 * m.fc(x)) - 1,
        (4, 5),
    ),
    "attention by hand": (attention, attention_by_hand, (4, 5)),
    "cumsum by a product": (
        lambda m, x: m.fc(x).cumsum(0),
        lambda m, x: TRIANGLE.to(x.dtype) @ m.fc(x),
        (4, 5),
    ),
    "clamp": (plain, lambda m, x: m.fc(x).clamp(min=0), (4, 5)),
    "product with a truth": (plain, lambda m, x: m.fc(x) * (m.fc(x) > 0), (4, 5)),
    "sorted and back": (plain, sorted_and_back, (4, 5)),
    "flipped and back": (plain, lambda m, x: plain(m, x.flip(0)).flip(0), (4, 5)),
    "functional_call": (layer, functional, (4, 5)),
    "torch.func.grad": (
        SQUARED,
        lambda m, x: torch.func.grad(lambda z: m.fc(z).square().sum())(x),
        (4, 5),
    ),
    "autograd.grad in the forward": (SQUARED, by_autograd, (4, 5)),
    "detached": (
        lambda m, x: m.fc(x) + m.fc(x).tanh().detach(),
        lambda m, x: m.fc(x) + m.fc(x).tanh().data,
        (4, 5),
    ),
    "autocast on both": (in_bfloat16, in_bfloat16, (4, 5)),
    "by NumPy": (
        lambda m, x: m.second(m.fc(x).detach().tanh()),
        lambda m, x: m.second(torch.from_numpy(np.tanh(m.fc(x).detach().numpy()))),
        (4, 5),
    ),
    "fx": (plain, lambda m, x: torch.fx.symbolic_trace(m.fc)(x).relu(), (4, 5)),
}


@pytest.mark.parametrize("name", FORMS)
def test_right_programs_in_another_form_pass(name: str) -> None:
    first, second, shape = FORMS[name]
    a, b = Applied(first, **inner()), Applied(second, **inner())
    report = check_modules(a, b, x_of(*shape), loss=squares)
    assert report.outcome == "PASS", str(report)


def test_torch_func_vmap_is_unjudged_where_it_has_no_bound_and_fails_where_it_is_wrong() -> None:
    right = Applied(lambda m, x: torch.vmap(m.fc)(x))
    assert check_modules(Applied(layer), right, x_of(), loss=squares).outcome != "FAIL"
    wrong = Applied(lambda m, x: torch.vmap(lambda z: 1.1 * m.fc(z))(x))
    assert check_modules(Applied(layer), wrong, x_of(), loss=squares).outcome == "FAIL"


def test_another_function_of_numpy_fails() -> None:
    right, wrong = (
        Applied(lambda m, x, f=f: torch.from_numpy(f(m.fc(x).detach().numpy())))
        for f in (np.tanh, np.arctan)
    )
    by_torch = Applied(lambda m, x: m.fc(x).detach().tanh())
    assert check_modules(by_torch, right, x_of()).outcome == "PASS"
    assert check_modules(by_torch, wrong, x_of()).outcome == "FAIL"


def test_autocast_on_one_side_fails() -> None:
    a, b = Applied(layer), Applied(lambda m, x: in_bfloat16(m, x).float())
    report = check_modules(a, b, x_of(), loss=squares)
    assert report.outcome == "FAIL"
    assert any("bfloat16" in sentence for sentence in report.differing)


class Tied(nn.Module):
    def __init__(self, tied: bool) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.a, self.b = nn.Linear(5, 5), nn.Linear(5, 5)
        own = nn.Parameter(self.a.weight.detach().clone())
        self.b.weight = self.a.weight if tied else own

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.b(self.a(x))
        return out


def test_tied_weights() -> None:
    assert check_modules(Tied(True), Tied(True), x_of(), loss=squares).outcome == "PASS"
    assert check_modules(Tied(True), Tied(False), x_of(), loss=squares).outcome == "FAIL"


class WeightNormByHand(nn.Module):
    def __init__(self, of: nn.Module) -> None:
        super().__init__()
        state = of.state_dict()
        self.g = nn.Parameter(state["parametrizations.weight.original0"].clone())
        self.v = nn.Parameter(state["parametrizations.weight.original1"].clone())
        self.bias = nn.Parameter(state["bias"].clone())

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.g * self.v / self.v.norm(dim=1, keepdim=True), self.bias)


def test_parametrizations() -> None:
    a = weight_norm(nn.Linear(5, 3))
    assert check_modules(a, WeightNormByHand(a), x_of(), loss=squares).outcome == "PASS"
    b = spectral_norm(nn.Linear(5, 3))
    assert check_modules(b, copy.deepcopy(b), x_of(), loss=squares).outcome == "PASS"


class Folded(nn.Module):
    """A batch norm's statistics in the weights of the layer before it."""

    def __init__(self, of: nn.Sequential) -> None:
        super().__init__()
        self.of = of

    def forward(self, x: Tensor) -> Tensor:
        fc, norm = self.of
        k = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        return F.linear(x, fc.weight * k[:, None], (fc.bias - norm.running_mean) * k + norm.bias)


def test_evaluation() -> None:
    net = linear(nn.BatchNorm1d(3)).eval()
    assert check_modules(net, Folded(net), x_of()).outcome == "PASS"
    dropped = linear(nn.Dropout(0.5)).eval()
    assert check_modules(dropped, linear(), x_of(), loss=squares).outcome == "PASS"
    with torch.no_grad():
        assert check_modules(linear(), linear(), x_of(), loss=squares).outcome == "PASS"


def hooked(net: nn.Sequential) -> nn.Sequential:
    net[0].register_forward_hook(lambda module, inputs, out: out * 2)
    return net


def test_hooks() -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    assert check_modules(linear(Twice()), hooked(linear()), x_of(), loss=squares).outcome == "PASS"
    assert check_modules(linear(), hooked(linear()), x_of(), loss=squares).outcome == "FAIL"


@pytest.mark.parametrize(
    "loss",
    [
        lambda out: [out.sum(), out.square().sum()],
        lambda out: {"a": out.sum(), "b": out.square().sum()},
        lambda out: sum(c.square().sum() for c in out.chunk(2)) / out.numel(),
        lambda out: (out - out.detach() * 0.9).square().mean(),
        lambda out: out.sum()[None],
        None,
    ],
)
def test_losses_of_any_form(loss: Any) -> None:
    assert check_modules(linear(), linear(), x_of(), loss=loss).outcome == "PASS"


# --- what a forward changes besides


class Changing(nn.Module):
    """change(self) comes after the output is computed."""

    def __init__(self, change: Callable[[Any], Any]) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.fc, self.change = nn.Linear(5, 3), change
        self.register_buffer("kept", torch.zeros(3))
        self.register_buffer("count", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(x) * 1
        with torch.no_grad():
            self.change(self)
        return out


CHANGES: dict[str, Callable[[Any], Any]] = {
    "weights doubled": lambda m: m.fc.weight.data.mul_(2),
    "bias added to": lambda m: m.fc.bias.add_(1),
    "data assigned": lambda m: setattr(m.fc.weight, "data", m.fc.weight.data * 2),
    "rows flipped": lambda m: m.fc.weight.copy_(m.fc.weight.flip(0)),
    "parameter replaced": lambda m: setattr(m.fc, "weight", nn.Parameter(m.fc.weight * 2)),
    "buffer added to": lambda m: m.kept.add_(1),
    "buffer replaced": lambda m: setattr(m, "kept", m.kept + 1),
    "a count": lambda m: m.count.add_(1),
    "a gradient": lambda m: setattr(m.fc.weight, "grad", torch.ones_like(m.fc.weight)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_forward_changes_is_compared(name: str) -> None:
    changing = lambda: Changing(CHANGES[name])  # noqa: E731
    still = lambda: Changing(lambda m: None)  # noqa: E731
    assert check_modules(changing(), changing(), x_of()).outcome == "PASS"
    assert check_modules(still(), changing(), x_of()).outcome == "FAIL"
    assert check_modules(changing(), still(), x_of()).outcome == "FAIL"


def test_memory_that_numpy_writes_is_an_error() -> None:
    def by_numpy(m: Any) -> None:
        m.fc.weight.detach().numpy()[...] *= 2

    with pytest.raises(InputError, match=r"fc\.weight of b changed during the step"):
        check_modules(Changing(lambda m: None), Changing(by_numpy), x_of())


def test_an_input_that_one_side_overwrites_is_unjudged() -> None:
    overwriting = Applied(lambda m, x: (m.fc(x), x.mul_(2))[0])
    report = check_modules(Applied(layer), overwriting, x_of())
    assert report.outcome == "UNJUDGED", str(report)
    assert [e.end.name for e in report.unjudged] == ["new input"]
    assert check_modules(overwriting, Applied(layer), x_of()).unpaired == ("new input",)
    assert check_modules(overwriting, copy.deepcopy(overwriting), x_of()).outcome == "PASS"


class PartlyInHalf(nn.Module):
    """Two layers, of which autocast reaches those that are named."""

    def __init__(self, halved: str) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second, self.halved = nn.Linear(5, 6), nn.Linear(6, 3), halved

    def forward(self, x: Tensor) -> Tensor:
        for name in ("first", "second"):
            with torch.autocast("cpu", torch.bfloat16, enabled=name in self.halved):
                x = getattr(self, name)(x).to(x.dtype)
        return x


@pytest.mark.parametrize("other", ["second", "first second", ""])
def test_autocast_on_other_layers_fails(other: str) -> None:
    """In float64 nothing is left of it, so the casts of the weights tell."""
    x = torch.randn(4, 5)
    assert check_modules(PartlyInHalf("first"), PartlyInHalf("first"), x).outcome == "PASS"
    for a, b in (("first", other), (other, "first")):
        report = check_modules(PartlyInHalf(a), PartlyInHalf(b), x)
        assert report.outcome == "FAIL", (a, b)
        assert any("bfloat16" in sentence for sentence in report.differing), (a, b)


# --- at exact ties two ways of rounding are two functions

HALVES = (torch.arange(20.0).reshape(4, 5) - 9) / 2
SCALES = torch.tensor([0.5, 1, 2, 4, 0.25])
ROUNDED: list[tuple[Any, Any]] = [
    (lambda m, x: m.fc(torch.floor(x + 0.5)), lambda m, x: m.fc(torch.round(x))),
    (lambda m, x: m.fc((x / 2 + 0.5).floor() * 2), lambda m, x: m.fc((x / 2).round() * 2)),
    (
        lambda m, x: m.fc((x / SCALES.to(x) + 0.5).floor() * SCALES.to(x)),
        lambda m, x: m.fc((x / SCALES.to(x)).round() * SCALES.to(x)),
    ),
    (lambda m, x: m.fc(x * (x + 1 > 2)), lambda m, x: m.fc(x * (x + 1 >= 2))),
    (lambda m, x: m.fc(x * (1.5 * x < 3)), lambda m, x: m.fc(x * (1.5 * x <= 3))),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("i", range(len(ROUNDED)))
def test_ties_are_decided(i: int, dtype: torch.dtype) -> None:
    one, other = (Applied(f).to(dtype) for f in ROUNDED[i])
    assert check_modules(one, other, HALVES.to(dtype)).outcome == "FAIL"
    for f in ROUNDED[i]:
        same = (Applied(f).to(dtype) for _ in range(2))
        assert check_modules(*same, HALVES.to(dtype)).outcome == "PASS"


TENTHS: list[Callable[[Tensor], Tensor]] = [
    lambda x: (x / 0.1 + 0.5).floor() * 0.1,
    lambda x: (x / 0.1).round() * 0.1,
    lambda x: (x * 10 + 0.5).floor() * 0.1,
    lambda x: (x * 10).round() * 0.1,
    lambda x: ((x + 0.05) / 0.1).floor() * 0.1,
]


@pytest.mark.parametrize("other", range(len(TENTHS)))
@pytest.mark.parametrize("one", range(len(TENTHS)))
def test_a_step_that_rounding_takes_is_no_pass(one: int, other: int) -> None:
    """2.5 is 0.25 / 0.1 in float64, and by a little less than that in the reals."""
    a, b = (Applied(lambda m, x, f=TENTHS[i]: m.fc(f(x))) for i in (one, other))
    x = torch.tensor([[0.25, -0.25, 0.75, 1.0, 0.25], [1.25, -0.75, 2.25, 0.0, -1.75]])
    exact = (f(x.double()) for f in (TENTHS[one], TENTHS[other]))
    same = (a(x) == b(x)).all() and torch.allclose(*exact)
    assert (check_modules(a, b, x, loss=squares).outcome == "PASS") == same
