"""What a step keeps where torch does not look: it begins from the same numbers in both models, is
put back, and is said not to be compared. A model that differs from itself is UNJUDGED."""

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.small_models import Applied, linear, returning, squares, x_of
from torch_parity import check_model, check_modules, train_modules
from torch_parity.compare.aten.pair_report import ModulesReport

CE = nn.CrossEntropyLoss()


class Statistics:
    """A running mean as the repositories of reinforcement learning keep it."""

    def __init__(self) -> None:
        self.mean = torch.zeros(5)


class Keeping(nn.Module):
    """A running mean that only the next call reads, in `kept`."""

    def __init__(self, kept: Any, momentum: float) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.fc, self.kept, self.momentum = nn.Linear(5, 3), kept, momentum

    def forward(self, x: Tensor) -> Tensor:
        mean = x.detach().mean(0)
        if isinstance(self.kept, Statistics):
            self.kept.mean = self.kept.mean.to(x).lerp(mean, self.momentum)
        elif isinstance(self.kept, np.ndarray):
            self.kept += self.momentum * (mean.double().numpy() - self.kept)
        elif isinstance(self.kept, dict):
            self.kept["mean"] = self.momentum * float(mean.sum())
        else:
            self.kept.append(self.momentum * float(mean.sum()))
        out: Tensor = self.fc(x - mean)
        return out


KEPT: dict[str, Callable[[], Any]] = {
    "object": Statistics, "array": lambda: np.zeros(5), "dict": lambda: {"mean": 0.0},
    "list": lambda: [0.0],
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_state_that_is_not_compared_is_named_and_put_back(name: str) -> None:
    a, b = Keeping(KEPT[name](), 0.1), Keeping(KEPT[name](), 0.5)
    was = copy.deepcopy(a.kept)
    report = check_modules(a, b, x_of(), loss=squares)
    assert report.outcome == "PASS"
    (note,) = (n for n in report.notes if n.startswith("Not compared"))
    assert "kept of a" in note
    assert "kept of b" in note
    if isinstance(was, Statistics):
        assert torch.equal(a.kept.mean, was.mean)
        assert a.kept.mean.dtype == torch.float32
    else:
        assert np.array_equal(a.kept, was) if name == "array" else a.kept == was


@pytest.mark.parametrize("draw", [random.random, np.random.rand], ids=["python", "numpy"])
def test_other_generators_begin_alike(draw: Callable[[], float]) -> None:
    """LayerDrop: identical copies have to drop the same layers."""
    dropping = returning(lambda h: h if draw() < 0.5 else h * 3)
    for _ in range(6):
        draw()
        report = check_modules(dropping, copy.deepcopy(dropping), x_of(), loss=squares)
        assert report.outcome == "PASS", report.verdict


# --- tensors of nobody


def test_a_tensor_outside_of_both_models_is_put_back() -> None:
    seen = torch.zeros(2)

    def loss(out: Tensor) -> Tensor:
        seen.add_(1)
        return out.square().mean() * seen.sum()

    report = check_modules(linear(), linear(), x_of(), loss=loss)
    assert report.outcome == "PASS", report.verdict
    assert any("(2,)" in note for note in report.notes)
    assert not seen.any()


def test_an_average_of_weights_in_a_hook_is_no_mistake_of_torch() -> None:
    a, b = linear(), linear()
    both: Any = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (a, b)]
    for model, optimizer in zip((a, b), both, strict=True):
        average = torch.optim.swa_utils.AveragedModel(
            model, avg_fn=lambda mean, new, _: 0.9 * mean + 0.1 * new
        )  # fmt: skip
        optimizer.register_step_post_hook(
            lambda *_, average=average, model=model: average.update_parameters(model)
        )
    report = train_modules(a, b, [(x_of(), None)] * 3, loss=squares, optimizers=tuple(both))
    assert report.outcome == "PASS", str(report)


# --- a model that differs from itself


def counting() -> Iterator[float]:
    n = 0.0
    while True:
        n += 1
        yield n


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_counter_in_a_closure_is_no_difference_between_the_models(dtype: torch.dtype) -> None:
    shared = counting()
    a, b = (returning(lambda h: h * next(shared)).to(dtype) for _ in range(2))
    report = check_modules(a, b, x_of().to(dtype), loss=squares)
    assert report.outcome == "UNJUDGED"
    assert not report.causes
    assert "run again from the same state" in report.verdict


def test_a_model_that_repeats_itself_and_differs_is_wrong() -> None:
    report = check_modules(linear(), returning(lambda h: h * 1.001), x_of(), loss=squares)
    assert report.outcome == "FAIL"


class Stateful(nn.Module):
    """Its state lies in a list, which no step carries over from a to b."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.fc, self.state = nn.Linear(5, 3), [torch.zeros(3)]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(x) + self.state[0].to(x)
        self.state = [out.detach().mean(0)]
        return out


def test_a_state_in_a_list_is_not_carried_over() -> None:
    a, b = Stateful(), Stateful()
    both: Any = tuple(torch.optim.SGD(m.parameters(), lr=0.1) for m in (a, b))
    batches = [(x_of() * k, None) for k in (1, 2, 3)]
    report = train_modules(a, b, batches, loss=squares, optimizers=both)
    assert report.outcome == "UNJUDGED", str(report)
    assert any("state of a" in reason for reason in report.not_judged)


# --- what a step in float64 does not show


class Softplus(nn.Module):
    def __init__(self, by_hand: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.fc, self.by_hand = nn.Linear(4, 4), by_hand

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.fc(x) * 200
        if not self.by_hand:
            return torch.nn.functional.softplus(h)
        return torch.where(h > 20, h, torch.log(1 + torch.exp(h)))


@pytest.mark.parametrize("with_optimizer", [False, True])
def test_a_gradient_that_is_nan_in_float32_alone(with_optimizer: bool) -> None:
    """inf / inf in the branch that is not taken; exp does not overflow in float64."""
    a, b = Softplus(False), Softplus(True)
    both: Any = tuple(torch.optim.AdamW(m.parameters()) for m in (a, b))
    torch.manual_seed(1)
    report = check_modules(
        a, b, torch.randn(5, 4), loss=squares, optimizers=both if with_optimizer else None
    )
    assert report.outcome == "UNJUDGED"
    named = {o.name for o in report.others if o.outcome == "unjudged"}
    assert "fc.weight.grad" in named
    assert ("new fc.weight" in named) is with_optimizer


def test_a_nan_gradient_of_one_model_is_said() -> None:
    torch.manual_seed(1)
    report = check_model(Softplus(True), torch.randn(5, 4), loss=squares)
    assert report.outcome == "PASS"
    assert "Not every result is a number" in report.verdict


def branching(m: Any, x: Tensor) -> Tensor:
    eps = 1e-5 if x.dtype == torch.float32 else 1e-6
    return torch.nn.functional.layer_norm(m.fc(x), (3,), eps=eps)


def test_a_number_that_depends_on_the_type_is_seen() -> None:
    plain = Applied(lambda m, x: torch.nn.functional.layer_norm(m.fc(x), (3,), eps=1e-6))
    report = check_modules(plain, Applied(branching), x_of())
    assert report.outcome == "UNJUDGED"
    assert "1e-05" in report.verdict


def test_other_calls_in_float32_are_said() -> None:
    def fast(h: Tensor) -> Tensor:
        return h.mul(0.5).add(h.mul(0.5)) if h.dtype == torch.float32 else h * 1

    report = check_modules(returning(lambda h: h * 1), returning(fast), x_of())
    assert any("other calls in its own precision" in note for note in report.notes)


# --- gains that are all 1


class Gains(nn.Module):
    def __init__(self, names: tuple[str, str], both_in_first: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.names, self.both_in_first = names, both_in_first
        for name in names:
            self.register_parameter(name, nn.Parameter(torch.ones(4)))

    def forward(self, x: Tensor) -> Tensor:
        p, q = (getattr(self, name) for name in self.names)
        first, second = (p * q, 1.0) if self.both_in_first else (p, q)
        x = x + self.one(x).tanh() * first
        return x + self.two(x).tanh() * second


def gains(names: tuple[str, str], both_in_first: bool = False) -> ModulesReport:
    torch.manual_seed(1)
    a, b = Gains(("g1", "g2"), False), Gains(names, both_in_first)
    return check_modules(a, b, torch.randn(5, 4), loss=squares)


def test_each_gradient_is_that_of_one_gain() -> None:
    assert gains(("g1", "g2")).outcome == "PASS"
    assert gains(("p", "q")).outcome == "PASS"
    assert gains(("g1", "g2"), both_in_first=True).outcome == "FAIL"
    report = gains(("p", "q"), both_in_first=True)
    assert report.outcome == "UNJUDGED"
    assert report.unpaired == ("g2.grad",)


def test_the_momentum_of_another_gain_is_a_difference() -> None:
    def slow(model: nn.Module, name: str) -> torch.optim.Optimizer:
        params = dict(model.named_parameters())
        other = {"params": [params.pop(name)], "momentum": 0.5}
        return torch.optim.SGD([{"params": [*params.values()]}, other], lr=0.1, momentum=0.9)

    torch.manual_seed(1)
    a, b = Gains(("g1", "g2"), False), Gains(("p", "q"), False)
    for name, outcome in (("p", "PASS"), ("q", "FAIL")):
        both: Any = (slow(a, "g1"), slow(b, name))
        report = check_modules(a, b, torch.randn(5, 4), loss=squares, optimizers=both)
        assert report.outcome == outcome, report.verdict


# --- optimizers and outputs


def momentum_of(where: str) -> type[torch.optim.Optimizer]:
    class Momentum(torch.optim.SGD):
        """Its momentum is an attribute."""

        def __init__(self, params: Any, mu: float) -> None:
            super().__init__(params, lr=0.1)
            self.mu = mu

        def step(self, closure: Any = None) -> Any:
            for p in self.param_groups[0]["params"]:
                v = self.state[p].setdefault("v", torch.zeros_like(p))
                v.mul_(self.mu).add_(p.grad)
            return super().step(closure)

    Momentum.__module__ = where
    return Momentum


def test_numbers_that_an_optimizer_keeps_itself_are_settings() -> None:
    kind: Any = momentum_of("here")
    other: Any = momentum_of("there")
    a, b = linear(), linear()
    step: dict[str, Any] = {"loss": CE, "target": torch.tensor([0, 1, 2, 0])}
    for second, mu, outcome in ((kind, 0.9, "PASS"), (kind, 0.5, "FAIL")):
        both = (kind(a.parameters(), 0.9), second(b.parameters(), mu))
        assert check_modules(a, b, x_of(), optimizers=both, **step).outcome == outcome
    both = (kind(a.parameters(), 0.9), other(b.parameters(), 0.9))
    report = check_modules(a, b, x_of(), optimizers=both, **step)
    assert any("here" in note and "there" in note for note in report.notes)


def test_an_output_that_is_cut_off_is_said() -> None:
    a = returning(lambda h: (h, h.tanh()))
    b = returning(lambda h: (h, h.tanh().detach()))
    report = check_modules(a, b, x_of(), loss=lambda out: out[0].square().mean())
    assert any("the gradient of output.1, which a has" in note for note in report.notes)


def test_numbers_read_from_data_are_no_constants() -> None:
    """x.max().item() is exact in float32, like 0.1 as an exported program has it."""
    x = x_of(6, 5)
    a = Applied(lambda m, x: m.fc(x) / x.abs().max())
    b = Applied(lambda m, x: m.fc(x) / x.abs().max().item())
    assert check_modules(a, b, x, loss=squares).outcome == "PASS"


def test_one_number_is_drawn_with_or_without_replacement() -> None:
    def draws(replacement: bool) -> Applied:
        return returning(
            lambda h: h.gather(1, torch.multinomial(h.softmax(-1), 1, replacement=replacement))
        )

    assert check_modules(draws(True), draws(False), x_of(), loss=squares).outcome == "PASS"


def test_a_call_without_a_bound_in_a_is_not_held_against_b() -> None:
    a = Applied(lambda m, x: torch.linalg.svdvals(m.fc.weight).square().sum().sqrt())
    b = Applied(lambda m, x: m.fc.weight.square().sum().sqrt())
    for first, second in ((a, b), (b, a)):
        assert check_modules(first, second, x_of(), loss=lambda out: out).outcome == "UNJUDGED"
    c = Applied(lambda m, x: m.fc.weight.square().sum().sqrt() * 1.001)
    assert check_modules(a, c, x_of(), loss=lambda out: out).outcome == "FAIL"


def test_squeeze_of_several_dimensions_in_place() -> None:
    model = returning(lambda h: h[:, None, :, None].clone().squeeze_((1, 3)))
    assert check_modules(model, copy.deepcopy(model), x_of(), loss=squares).outcome == "PASS"


@pytest.mark.parametrize("lengths", [(50.0, None), (50.0, 5.0), (50.0, 50.0)])
def test_a_clipping_that_changes_nothing_is_said(lengths: tuple[float, float | None]) -> None:
    a, b = linear(), linear()
    both: Any = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (a, b)]

    def clipping(length: float) -> Callable[..., None]:
        def clip(optimizer: Any, *_: Any) -> None:
            nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], length)

        return clip

    for length, optimizer in zip(lengths, both, strict=True):
        if length is not None:
            optimizer.register_step_pre_hook(clipping(length))
    report = check_modules(a, b, x_of(), loss=squares, optimizers=tuple(both))
    assert report.outcome == "PASS"
    said = [note for note in report.notes if "clips its gradients" in note]
    assert len(said) == {None: 1, 5.0: 2, 50.0: 0}[lengths[1]]


class Lists(torch.optim.Optimizer):
    """Momentum in a list of its own."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {})
        self.kept = [torch.zeros_like(p) for p in self.param_groups[0]["params"]]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for p, v in zip(self.param_groups[0]["params"], self.kept, strict=True):
            v.mul_(0.9).add_(p.grad)
            p.sub_(0.1 * v)


def test_an_optimizer_that_keeps_its_state_elsewhere_is_not_judged() -> None:
    a, b = linear(), linear()
    both: Any = (torch.optim.SGD(a.parameters(), lr=0.1, momentum=0.9), Lists(b.parameters()))
    report = check_modules(a, b, x_of(), loss=squares, optimizers=both)
    assert report.outcome == "UNJUDGED"
    assert any("momentum_buffer" in name for name in report.unpaired)
    turned = check_modules(b, a, x_of(), loss=squares, optimizers=both[::-1])
    assert turned.outcome == "UNJUDGED"


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_scripted_and_traced_modules_are_judged() -> None:
    model = linear(nn.Tanh())
    for other in (torch.jit.trace(linear(nn.Tanh()), x_of()), torch.jit.script(linear(nn.Tanh()))):
        assert check_modules(model, other, x_of(), loss=squares).outcome == "PASS"
