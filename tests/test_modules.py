"""Two models on one step, or a model and arrays by hand: right pairs pass, every planted fault is
seen and placed."""

import copy
import dataclasses
import re
from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests import slow
from torch_parity import manual
from torch_parity.compare.aten.check import check_modules
from torch_parity.compare.aten.check_arrays import check_module
from torch_parity.compare.aten.pair_report import ModulesReport
from torch_parity.compare.aten.recording import record_model
from torch_parity.compare.errors import InputError, ParityError

SEED = 5
LAYERS = ("fc1", "act", "drop", "fc2", "slope", "fc3")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(SEED)


def original() -> nn.Sequential:
    layers = [nn.Linear(5, 6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 6), nn.LeakyReLU(0.2)]
    return nn.Sequential(OrderedDict(zip(LAYERS, [*layers, nn.Linear(6, 3)], strict=True)))


class Port(nn.Module):
    def __init__(self, of: nn.Sequential) -> None:
        super().__init__()
        self.layers = nn.Sequential(*copy.deepcopy(list(of)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def data() -> tuple[Tensor, Tensor]:
    return torch.randn(7, 5), torch.randint(0, 3, (7,))


def check(
    a: nn.Module, b: nn.Module, lr: tuple[float, float] = (0.1, 0.1), **options: Any
) -> ModulesReport:
    x, y = data()
    sgd = tuple(torch.optim.SGD(m.parameters(), r, 0.9) for m, r in zip((a, b), lr, strict=True))
    return check_modules(a, b, x, loss=nn.CrossEntropyLoss(), target=y, optimizers=sgd, **options)


def test_a_right_port_passes_and_everything_is_as_it_was() -> None:
    """The port has other names; nobody says which belong together."""
    a = original()
    b = Port(a)
    before = [p.clone() for m in (a, b) for p in m.parameters()]
    report = check(a, b)
    assert report.outcome == "PASS", str(report)
    assert len(report.alignment.ends) == 2 + 3 * 6, "output, loss; gradient, new value, momentum"
    assert report.precision == "float64"
    assert all(model.judged == model.calls > 30 for model in report.models)
    now = [p for m in (a, b) for p in m.parameters()]
    assert all(torch.equal(p, q) for p, q in zip(before, now, strict=True))
    assert all(p.grad is None for p in now)


def transposed(b: Port) -> None:
    b.layers[3].weight.data = b.layers[3].weight.data.T.clone()


def evaluating(b: Port) -> None:
    b.eval()


def steeper(b: Port) -> None:
    b.layers[4] = nn.LeakyReLU(0.2001)


def another(b: Port) -> None:
    b.layers[1] = nn.Tanh()


def keep_prob(b: Port) -> None:
    b.layers[2] = nn.Dropout(0.7)


def no_bias(b: Port) -> None:
    """Its class says Linear, its forward does not."""
    b.layers[3].forward = lambda x: nn.functional.linear(x, b.layers[3].weight)


# fault -> where b parts from a, and in which operation
FAULTS: dict[Callable[[Port], None], tuple[str, str]] = {
    transposed: ("layers.3", "addmm"),
    evaluating: ("layers.2", "mul"),
    steeper: ("layers.4", "leaky_relu"),
    another: ("layers.1", "tanh"),
    keep_prob: ("layers.2", "mul"),
    no_bias: ("layers.3", "mm"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_seen_and_placed(fault: Callable[[Port], None]) -> None:
    a = original()
    b = Port(a)
    fault(b)
    report = check(a, b)
    assert report.outcome == "FAIL", f"seed {SEED}\n{report}"
    assert all(model.outcome == "PASS" for model in report.models), "each is right by itself"
    call = report.call
    assert call is not None
    module, operation = FAULTS[fault]
    if fault is evaluating:  # b has no call of its own there
        assert call.module in ("layers.3", module)
    else:
        assert (call.module, call.phase) == (module, "forward"), f"seed {SEED}\n{report}"
    if fault in (transposed, steeper, another, no_bias):
        assert call.operation == operation


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("factor", [2.0, 1 + 1e-6])
def test_a_gradient_changed_on_its_way_is_placed_in_the_backward(
    dtype: torch.dtype, factor: float
) -> None:
    """No parameter and no setting differs; 1e-6 hides in float32, not in the float64 copies."""
    a = original().to(dtype)
    b = Port(a)

    class Bent(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight * 1
            if self.out_features == 6 and self.in_features == 6 and weight.requires_grad:
                weight.register_hook(lambda gradient: gradient * factor)
            return nn.functional.linear(x, weight, self.bias)

    b.layers[3].__class__ = Bent
    x, y = data()
    report = check_modules(a, b, x.to(dtype), loss=nn.CrossEntropyLoss(), target=y)
    assert report.outcome == "FAIL", f"seed {SEED}"
    assert [e.end.name for e in report.wrong] == ["layers.3.weight.grad"]
    assert report.call is not None
    assert report.call.phase == "backward"


@pytest.mark.parametrize(
    ("of_a", "of_b"),
    [
        (lambda p: torch.optim.SGD(p, 1e-4), lambda p: torch.optim.SGD(p, 2e-4)),
        (lambda p: torch.optim.AdamW(p, 1e-4), lambda p: torch.optim.AdamW(p, 2e-4)),
        (
            lambda p: torch.optim.AdamW(p, 1e-3, weight_decay=0),
            lambda p: torch.optim.AdamW(p, 1e-3, weight_decay=0.1),
        ),
        (lambda p: torch.optim.SGD(p, 1e-4), lambda p: torch.optim.SGD([*p][:2], 1e-4)),
    ],
)
def test_small_updates_that_differ_are_seen(
    of_a: Callable[..., Any], of_b: Callable[..., Any]
) -> None:
    """Round one let each of these through: its float32 tolerance was 5.4e-4."""
    a = original().eval()
    b = Port(a).eval()
    x, y = data()
    optimizers = of_a(a.parameters()), of_b(b.parameters())
    report = check_modules(a, b, x, loss=nn.CrossEntropyLoss(), target=y, optimizers=optimizers)
    assert report.outcome == "FAIL"
    wrong = [e.end.name for e in report.wrong] + list(report.lacking)
    assert wrong
    assert all(name.startswith("new ") for name in wrong)


@pytest.mark.parametrize(
    ("of_a", "of_b"),
    [
        (nn.GELU(), nn.GELU(approximate="tanh")),
        (nn.LayerNorm(6, eps=1e-5), nn.LayerNorm(6, eps=1e-12)),
        (nn.LayerNorm(6, eps=1e-5), nn.LayerNorm(6, eps=1.0001e-5)),
        (nn.Softplus(), nn.Softplus(threshold=1)),
        (nn.ELU(1.0), nn.ELU(1.00001)),
        (nn.Hardsigmoid(), nn.Sigmoid()),
    ],
)
def test_forms_that_differ_by_little_are_seen_in_float32(of_a: nn.Module, of_b: nn.Module) -> None:
    a = nn.Sequential(nn.Linear(5, 6), of_a, nn.Linear(6, 3))
    b = nn.Sequential(copy.deepcopy(a[0]), of_b, copy.deepcopy(a[2]))
    x, y = data()
    report = check_modules(a, b, x, loss=nn.CrossEntropyLoss(), target=y)
    assert report.outcome == "FAIL", str(report)
    assert report.call is not None
    assert report.call.module == "1"


class Upcast(nn.Module):
    """A layer norm that is computed in float32 whatever comes in, as many language models have."""

    def __init__(self, on: bool) -> None:
        super().__init__()
        torch.manual_seed(SEED)
        self.fc, self.norm, self.on = nn.Linear(5, 6), nn.LayerNorm(6), on

    def forward(self, x: Tensor) -> Tensor:
        z = self.fc(x)
        kind = torch.float32 if self.on else z.dtype
        weights = self.norm.weight.to(kind), self.norm.bias.to(kind)
        return nn.functional.layer_norm(z.to(kind), (6,), *weights, self.norm.eps).to(z.dtype)


@pytest.mark.parametrize("first", [True, False])
def test_a_cast_to_float32_loses_something_in_a_float64_model_alone(first: bool) -> None:
    x = torch.randn(7, 5)
    a, b = Upcast(first), Upcast(not first)
    loss = lambda out: out.square().mean()  # noqa: E731
    assert check_modules(a, b, x, loss=loss).outcome == "PASS"
    a, b = a.double(), b.double()
    assert check_modules(a, b, x.double(), loss=loss).outcome == "FAIL"


def test_weights_off_by_a_little_are_given_differently() -> None:
    a = original()
    b = Port(a)
    with torch.no_grad():
        b.layers[3].weight[2, 1] += 1e-6
    report = check(a, b, called=("left", "right"))
    assert report.outcome == "FAIL"
    same = copy.deepcopy(a)
    with torch.no_grad():
        same.fc2.bias[1] += 1e-7
    (sentence,) = check(a, same).differing
    assert "fc2.bias at [1]" in sentence


class Scale(nn.Module):
    """A parameter without dimensions."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


@pytest.mark.parametrize("factor", [2.0, float("nan")])
def test_a_single_number_that_is_given_differently(factor: float) -> None:
    x = data()[0]
    assert check_modules(Scale(1.5), Scale(1.5), x).outcome == "PASS"
    report = check_modules(Scale(1.5), Scale(factor), x)
    assert report.outcome == "FAIL"
    (sentence,) = report.differing
    assert sentence.startswith("Given differently: factor is 1.5 in a")


def test_batch_norm_in_two_modes_under_a_loss_that_is_a_function() -> None:
    a = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
    b = copy.deepcopy(a).eval()
    report = check_modules(a, b, data()[0], loss=lambda out: out.square().mean())
    assert report.outcome == "FAIL"
    assert report.call is not None
    assert report.call.module == "1"
    assert check_modules(a, copy.deepcopy(a), data()[0], loss=lambda out: out.sum()).passed


def test_gradients_that_lay_there_are_added_to() -> None:
    a = original()
    b = Port(a)
    b(torch.randn(4, 5)).square().sum().backward()
    assert check(a, b).outcome == "FAIL"


class Swapped(nn.Module):
    """Two dropouts of one shape, drawn in the other order."""

    def __init__(self, first: str) -> None:
        super().__init__()
        self.fc, self.left, self.right = nn.Linear(5, 4), nn.Dropout(0.4), nn.Dropout(0.4)
        self.first = first

    def forward(self, x: Tensor) -> Tensor:
        z = self.fc(x)
        if self.first == "left":
            left, right = self.left(z), self.right(z)
        else:
            right, left = self.right(z), self.left(z)
        out: Tensor = left - 2 * right
        return out


def test_draws_are_shared_by_module_whatever_their_order() -> None:
    a, b = Swapped("left"), Swapped("right")
    b.load_state_dict(a.state_dict())
    report = check_modules(a, b, torch.randn(7, 5))
    assert report.passed, str(report)
    assert not check_modules(a, b, torch.randn(7, 5), share_draws=False).passed


class Extra(nn.Module):
    """A port with a parameter that its original lacks: a scale that is 1."""

    def __init__(self, of: nn.Module) -> None:
        super().__init__()
        self.body, self.scale = copy.deepcopy(of), nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x) * self.scale
        return out


def test_what_belongs_to_nothing_of_the_other_model_is_unjudged_by_name() -> None:
    a = original().eval()
    b = Extra(a).eval()
    report = check(a, b)
    assert report.outcome == "UNJUDGED", str(report)
    assert {e.end.name for e in report.unjudged} >= {"scale.grad", "new scale"}
    with pytest.raises(ParityError):
        report.require(strict=True)
    assert report.require() is report
    assert check(a, b, ignore=["*scale*"]).outcome == "PASS"
    swapped = check(b, a)
    assert swapped.outcome == "UNJUDGED"
    assert set(swapped.unpaired) >= {"scale.grad", "new scale"}


def test_ignore_is_checked() -> None:
    a = original()
    with pytest.raises(InputError, match=re.escape("no result is called 'los'; did you mean 'lo")):
        check(a, Port(a), ignore=["los"])
    with pytest.raises(InputError, match="no result of the step is left"):
        check(a, Port(a), ignore=["*"])
    with pytest.raises(InputError, match="expected a list"):
        check(a, Port(a), ignore="output")


@pytest.mark.parametrize("same", [True, False])
def test_names_are_a_hint_where_given_tensors_hold_the_same_numbers(same: bool) -> None:
    """Two layers of equal weights: by numbers alone either may be the other's partner."""
    a = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    a[2].load_state_dict(a[0].state_dict())
    b = nn.Sequential(OrderedDict(z=copy.deepcopy(a[0]), t=nn.Tanh(), y=copy.deepcopy(a[2])))
    names = {"0": "z", "2": "y"} if same else {}
    report = check_modules(a, b, torch.randn(6, 4), loss=lambda o: o.square().mean(), names=names)
    assert report.outcome == "PASS", str(report)


def test_nothing_is_a_hollow_pass() -> None:
    a = original()
    with pytest.raises(InputError, match="one model"):
        check_modules(a, a, data()[0])
    with pytest.raises(InputError, match="mine is empty"):
        check_module(a, {}, data()[0])
    b = copy.deepcopy(a)
    for net in (a, b):
        net.fc2.bias.data[1] = float("nan")
    assert check_modules(a, b, data()[0]).outcome == "UNJUDGED", "NaN on both sides"
    assert check_modules(nn.Linear(3, 2), nn.Linear(3, 2), torch.randn(4, 3)).outcome == "FAIL"
    empty = nn.Linear(3, 2)
    report = check_modules(empty, copy.deepcopy(empty), torch.randn(0, 3))
    assert report.outcome == "UNJUDGED"


@dataclasses.dataclass
class Returned:
    logits: Tensor
    told: str = "a"


class Returning(nn.Module):
    """A linear layer that returns its output in some wrapping."""

    def __init__(self, wrap: Callable[[Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(SEED)
        self.fc, self.wrap = nn.Linear(5, 3), wrap

    def forward(self, x: Tensor) -> Any:
        return self.wrap(self.fc(x))


WRAPS: list[tuple[Callable[[Tensor], Any], Callable[[Tensor], Any]]] = [
    (lambda z: Returned(z), lambda z: Returned(z * 2)),
    (lambda z: Returned(z), lambda z: Returned(z, told="b")),
    (lambda z: z.detach().numpy(), lambda z: z.detach().numpy() + 1),
    (lambda z: float(z.detach().sum()), lambda z: 0.0),
    (lambda z: (z, 1.0), lambda z: (z, 2.0)),
    (lambda z: {"z": z}, lambda z: {"z": z, "more": "x"}),
    (lambda z: (z, z.argmax(1)), lambda z: (z, z.argmin(1))),
]


@pytest.mark.parametrize("i", range(len(WRAPS)))
def test_whatever_a_model_returns_is_compared(i: int) -> None:
    right, wrong = WRAPS[i]
    x = torch.randn(4, 5)
    assert check_modules(Returning(right), Returning(right), x).outcome != "FAIL"
    assert check_modules(Returning(right), Returning(wrong), x).outcome == "FAIL"


class Doubling(nn.Module):
    """Its forward changes its own weights, after it has used them."""

    def __init__(self, on: bool) -> None:
        super().__init__()
        torch.manual_seed(SEED)
        self.fc, self.on = nn.Linear(5, 3), on

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.fc(x) * 1
        if self.on:
            self.fc.weight.data.mul_(2)
        return z


def test_a_forward_that_changes_its_weights_is_seen() -> None:
    x = torch.randn(4, 5)
    assert check_modules(Doubling(False), Doubling(True), x).outcome == "FAIL"
    assert check_modules(Doubling(True), Doubling(False), x).outcome == "FAIL"
    assert check_modules(Doubling(True), Doubling(True), x).outcome == "PASS"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_bias_before_a_batch_norm_has_a_gradient_of_rounding_alone(dtype: torch.dtype) -> None:
    class Norm(nn.Module):
        def __init__(self, norm: Callable[[Tensor], Tensor]) -> None:
            super().__init__()
            torch.manual_seed(SEED)
            self.fc, self.norm = nn.Linear(5, 6), norm

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.fc(x))

    a = Norm(lambda z: nn.functional.batch_norm(z, None, None, training=True)).to(dtype)
    b = Norm(lambda z: (z - z.mean(0)) / torch.sqrt(z.var(0, unbiased=False) + 1e-5)).to(dtype)
    x, weights = torch.randn(32, 5, dtype=dtype), torch.randn(6, dtype=dtype)
    report = check_modules(a, b, x, loss=lambda out: (out * weights).pow(2).mean())
    assert report.outcome == "PASS", str(report)


@pytest.mark.parametrize("ignored", [0, -100])
def test_cross_entropy_that_ignores_a_class(ignored: int) -> None:
    a = nn.Sequential(nn.Linear(5, 4))
    x, y = torch.randn(8, 5), torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
    loss = nn.CrossEntropyLoss(ignore_index=ignored)
    report = check_modules(a, copy.deepcopy(a), x, loss=loss, target=y)
    assert report.outcome == "PASS", str(report)


def test_a_module_against_arrays_by_hand() -> None:
    net = nn.Sequential(OrderedDict(fc1=nn.Linear(5, 4), act=nn.Tanh(), fc2=nn.Linear(4, 3)))
    x, y = data()
    W1, b1, W2, b2 = (p.detach().numpy().copy() for p in net.parameters())
    z1 = manual.linear(x.numpy(), W1, b1)
    a1 = manual.tanh(z1)
    z2 = manual.linear(a1, W2, b2)
    dz2 = manual.cross_entropy_backward(z2, y.numpy())
    da1, dW2, db2 = manual.linear_backward(dz2, a1, W2)
    dW1 = manual.tanh_backward(da1, z1).T @ x.numpy()
    mine = {"fc1": z1, "fc2": z2, "loss": manual.cross_entropy(z2, y.numpy()), "dW1": dW1}
    mine |= {"fc2.weight.grad": dW2, "fc2.bias.grad": db2, "fc1.weight": W1 - np.float32(0.1) * dW1}

    def report(**changed: np.ndarray) -> ModulesReport:
        return check_module(
            net,
            mine | changed,
            x,
            loss=nn.CrossEntropyLoss(),
            target=y,
            optimizer=torch.optim.SGD(net.parameters(), lr=0.1),
            names={"fc1.weight.grad": "dW1"},
        )

    assert report().passed, str(report())
    assert len(report().alignment.ends) == len(mine)
    wrong = report(dW1=dW1 * np.float32(1.001))
    assert {e.end.name for e in wrong.wrong} == {"fc1.weight.grad", "fc1.weight"}
    assert wrong.call is not None
    assert (wrong.call.module, wrong.call.phase) == ("fc1", "backward")
    summed = report(fc1=x.numpy() @ W1.T)
    assert summed.call is not None
    assert summed.call.module == "fc1"
    assert summed.wrong[0].end.name == "fc1"
    stale = report(**{"fc1.weight": W1})
    assert [e.end.name for e in stale.wrong] == ["fc1.weight"]
    with pytest.raises(InputError, match="makes no 'fc3'; did you mean 'fc"):
        report(fc3=z2)


def test_an_array_that_the_step_does_not_make_is_refused_by_its_own_name() -> None:
    net = nn.Sequential(nn.Linear(5, 4))
    dw = np.ones((4, 5))
    with pytest.raises(InputError, match=r"no '0.weight.grad'; give loss="):
        check_module(net, {"0.weight.grad": dw}, data()[0])
    with pytest.raises(InputError, match=r"calls 'dW'; give loss="):
        check_module(net, {"dW": dw}, data()[0], names={"0.weight.grad": "dW"})
    with pytest.raises(InputError, match=r"calls 'dW'; did you mean '0.weight.grad'"):
        check_module(net, {"dW": dw}, data()[0], loss=torch.sum, names={"0.wieght.grad": "dW"})
    both = {"dW": dw, "0.weight.grad": dw}
    with pytest.raises(InputError, match=r"'dW'.*leave one out"):
        check_module(net, both, data()[0], loss=torch.sum, names={"0.weight.grad": "dW"})


@pytest.mark.parametrize("wide", [3, 5], ids=["other shape", "square"])
def test_an_array_whose_transpose_agrees_says_so(wide: int) -> None:
    torch.manual_seed(0)
    net, x = nn.Linear(5, wide, bias=False), torch.randn(7, 5)
    out = net(x).detach().numpy()
    dw = (2 * out).T @ x.numpy()

    def report(**mine: np.ndarray) -> ModulesReport:
        names = {"weight.grad": "dW"}
        return check_module(net, mine, x, loss=lambda out: (out**2).sum(), names=names)

    assert report(output=out, dW=dw).passed
    turned = report(output=out, dW=dw.T)
    assert turned.outcome == "FAIL"
    assert len(turned.explanations) == 1
    assert "transpose of dW agrees" in turned.explanations[0]
    assert "transpose of output agrees" in report(output=out.T).explanations[0]
    assert report(output=out, dW=1.001 * dw.T).explanations == ()
    assert report(output=out, dW=-dw).causes == ("wrong_sign",)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("factor", "causes"),
    [
        (7.0, ("gradient_scaled",)),  # 7 samples
        (1 / 7, ("gradient_scaled",)),
        (0.5, ("gradient_scaled",)),
        (-1.0, ("wrong_sign",)),
        (7.0001, ()),
        (1.5, ()),
    ],
)
def test_gradients_that_are_off_by_a_factor_say_which(
    factor: float, causes: tuple[str, ...], dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).to(dtype)
    x, y = torch.randn(7, 5, dtype=dtype), torch.randint(3, (7,))
    loss = nn.CrossEntropyLoss()
    loss(net(x), y).backward()
    grads = {f"{n}.grad": p.grad.numpy() for n, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()

    def report(mine: dict[str, np.ndarray]) -> ModulesReport:
        return check_module(net, mine, x, loss=loss, target=y)

    wrong = {name: (factor * g).astype(g.dtype) for name, g in grads.items()}
    assert report(wrong).causes == causes
    assert report({**wrong, "0.bias.grad": 1.3 * grads["0.bias.grad"]}).causes == ()


OTHER_SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "flat": lambda x: x.reshape(-1),
    "a column": lambda x: x.reshape(-1, 1),
    "one more dimension": lambda x: x[None],
    "sides swapped": lambda x: x.reshape(x.shape[::-1]),
}


@pytest.mark.parametrize("name", OTHER_SHAPES)
def test_an_array_of_another_shape_fails_though_its_numbers_agree(name: str) -> None:
    """Outputs, loss, gradients, new parameters, running statistics, optimizer state."""
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.ReLU()), torch.randn(5, 3)
    step = {
        "loss": lambda out: out.square().mean(),
        "optimizer": torch.optim.SGD(net.parameters(), 0.1, 0.9),
    }
    known = record_model(net, x.requires_grad_(), **step).record  # type: ignore[arg-type]
    made = known.results | {n: r for n, r in known.named.items() if n.startswith("0")}
    arrays = {n: known.value(ref).numpy() for n, ref in made.items()}
    assert {"output", "loss", "0", "0.grad", "0.weight.grad", "input.grad"} < set(arrays)
    reshaped = {n: OTHER_SHAPES[name](x) for n, x in arrays.items()}
    reshaped = {n: x for n, x in reshaped.items() if x.shape != arrays[n].shape}
    report = check_module(net, arrays | reshaped, x, **step)  # type: ignore[arg-type]
    assert {e.end.name for e in report.wrong} == set(reshaped)
    assert len(report.explanations) == len(reshaped), "which layout is expected"


def test_arrays_are_held_to_what_follows_from_the_weights() -> None:
    net = nn.Sequential(nn.Conv1d(2, 3, 2), nn.ReLU())
    x = torch.randn(4, 2, 6)
    out = net(x).detach().numpy()
    assert check_module(net, {"1": out}, x).outcome == "PASS"
    assert check_module(net, {"1": out * np.float32(1.0001)}, x).outcome == "FAIL"
    in_float64 = copy.deepcopy(net).double()(x.double()).detach().numpy()
    assert check_module(net, {"1": in_float64}, x).precision == "float64"
    assert check_module(net, {"1": in_float64 * (1 + 1e-12)}, x).outcome == "FAIL"


ACTIVATIONS: list[Callable[[], nn.Module]] = [
    nn.ReLU,
    lambda: nn.ReLU(inplace=True),
    lambda: nn.LeakyReLU(0.15),
    nn.Tanh,
    nn.Sigmoid,
    lambda: nn.Softmax(dim=-1),
    nn.Identity,
]


def random_task(rng: np.random.Generator) -> tuple[nn.Sequential, dict[str, Any], Any]:
    """An MLP of depth 1-5 with a fitting loss, and what makes its optimizer."""
    m, depth = int(rng.integers(2, 12)), int(rng.integers(1, 6))
    sizes = rng.integers(1, 9, depth + 1).tolist()
    dtype = [torch.float32, torch.float64][rng.integers(2)]
    layers: list[nn.Module] = [nn.Flatten()] if rng.random() < 0.3 else []
    for n_in, n_out in pairwise(sizes):
        layers.append(nn.Linear(n_in, n_out, bias=bool(rng.random() < 0.8)))
        layers.append(ACTIVATIONS[rng.integers(len(ACTIVATIONS))]())
        if rng.random() < 0.4:
            layers.append(nn.Dropout(float(rng.uniform(0.1, 0.6))))
    kind = rng.integers(4)
    reduction = ["mean", "sum"][rng.integers(2)]
    y = torch.rand(m, sizes[-1], dtype=dtype)
    loss = [nn.CrossEntropyLoss, nn.MSELoss, nn.BCELoss, nn.BCEWithLogitsLoss][kind]
    if kind == 0:
        y = torch.randint(0, sizes[-1], (m,))
    if kind == 2:
        layers.append(nn.Sigmoid())
    net = nn.Sequential(*layers).to(dtype).train(bool(rng.random() < 0.8))
    optimizer = [
        lambda p: torch.optim.SGD(p, 0.05),
        lambda p: torch.optim.SGD(p, 0.05, 0.8),
        lambda p: torch.optim.Adam(p, 0.02),
    ][rng.integers(3)]
    x = torch.randn(m, sizes[0], dtype=dtype)
    return net, {"x": x, "loss": loss(reduction=reduction), "target": y}, optimizer


class Reversed(nn.Module):
    """The same layers, each in a box, under names that sort the other way round."""

    def __init__(self, of: nn.Sequential) -> None:
        super().__init__()
        self.boxes = [nn.Sequential(layer) for layer in of]
        for i, box in enumerate(self.boxes):
            self.add_module(self.name(i), box)

    def name(self, i: int) -> str:
        return chr(ord("z") - i)

    def forward(self, x: Tensor) -> Tensor:
        for box in self.boxes:
            x = box(x)
        return x


@pytest.mark.parametrize("seed", slow.after(25, range(60)))
@pytest.mark.every(3)
def test_a_random_right_pair_never_fails(seed: int) -> None:
    torch.manual_seed(seed)
    rng = np.random.default_rng([71, seed])
    net, task, make = random_task(rng)
    x, optimizer = task.pop("x"), make(net.parameters())

    def alike(module: nn.Module) -> torch.optim.Optimizer:
        other: torch.optim.Optimizer = make(module.parameters())
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        return other

    for _ in range(2):  # the second time with momentum and counters of the first
        twin = copy.deepcopy(net)
        report = check_modules(net, twin, x, optimizers=(optimizer, alike(twin)), **task)
        assert report.passed, f"seed {seed}\n{report}"
        port = Reversed(twin)
        report = check_modules(net, port, x, optimizers=(optimizer, alike(port)), **task)
        assert report.passed, f"seed {seed}\n{report}"
        task["loss"](net(x), task["target"]).backward()
        optimizer.step()
        net.zero_grad()


def test_the_optimizers_counters_stay_as_they_were() -> None:
    torch.manual_seed(SEED)
    pair = [nn.Linear(3, 2) for _ in range(2)]
    pair[1].load_state_dict(pair[0].state_dict())
    x = torch.randn(4, 3)
    adams = [torch.optim.Adam(m.parameters(), 0.01) for m in pair]
    for m, adam in zip(pair, adams, strict=True):
        m(x).square().mean().backward()
        adam.step()
    loss = lambda out: out.square().mean()  # noqa: E731
    report = check_modules(*pair, x, loss=loss, optimizers=(adams[0], adams[1]))
    assert (report.outcome, report.precision) == ("PASS", "float64")
    for adam in adams:
        assert all(float(s["step"]) == 1 for s in adam.state.values())


def test_the_first_array_that_is_wrong_is_the_first_one_computed() -> None:
    """Not the first one in the dict: a mistake in the last layer reaches the first one later."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x = torch.randn(10, 5, dtype=torch.float64)
    net(x).pow(3).mean().backward()
    mine = {f"{n}.grad": p.grad.numpy() * 1.5 for n, p in net.named_parameters()}  # type: ignore[union-attr]
    assert next(iter(mine)) == "0.weight.grad"
    report = check_module(net, mine, x, loss=lambda out: out.pow(3).mean())
    assert report.parting is not None
    assert report.parting.end.end.name in ("2.weight.grad", "2.bias.grad")
