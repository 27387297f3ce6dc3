"""What a step leaves uncompared is said, and no report is a plain PASS then."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import lr_scheduler

import torch_parity as tp

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
Does = Callable[[Any, Tensor], Tensor]


def square(output: Tensor) -> Tensor:
    return output.square().mean()


class Model(nn.Module):
    """A linear layer in a function of the model and x; state are its plain attributes."""

    def __init__(self, does: Does, **state: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.does = nn.Linear(4, 3), does
        vars(self).update(state)

    def forward(self, x: Tensor) -> Tensor:
        return self.does(self, x)


def checked(a: nn.Module, b: nn.Module, x: Tensor = X) -> Any:
    return tp.check_modules(a, b, x, loss=square)


def by_hand(m: Any, x: Tensor) -> Tensor:
    e = m.linear(x).exp()
    return e / e.sum(-1, keepdim=True)


def shifted(m: Any, x: Tensor) -> Tensor:
    return m.linear(x) + 1e4


INACCURATE: dict[str, tuple[Does, Does, Tensor]] = {
    "exp overflows": (lambda m, x: m.linear(x).softmax(-1), by_hand, 100 * X),
    "log of 0": (
        lambda m, x: m.linear(x).log_softmax(-1),
        lambda m, x: m.linear(x).softmax(-1).log(),
        100 * X,
    ),
    "a variance by squares": (
        lambda m, x: shifted(m, x).var(-1, unbiased=False),
        lambda m, x: shifted(m, x).square().mean(-1) - shifted(m, x).mean(-1) ** 2,
        X,
    ),
    "another type, another result": (
        lambda m, x: m.linear(x),
        lambda m, x: m.linear(x) * (1 if x.dtype == torch.float64 else 2),
        X,
    ),
    "whole numbers beyond float32": (
        lambda m, t: m.linear((t - 1700000000).float().expand(3, 4) / 60),
        lambda m, t: m.linear((t.float() - 1.7e9).expand(3, 4) / 60),
        torch.tensor([[1700000123], [1700000777], [1700000911]]),
    ),
}


@pytest.mark.parametrize("case", INACCURATE)
def test_a_float32_model_that_loses_its_digits(case: str) -> None:
    """In float64 both compute the same; what users get differs."""
    right, lossy, x = INACCURATE[case]
    for pair in ((right, lossy), (lossy, right)):
        report = checked(*map(Model, pair), x)
        assert report.outcome == "UNJUDGED", f"{case}\n{report}"
    assert checked(Model(right), Model(right), x).outcome == "PASS"


def test_random_numbers_of_float32_hide_nothing_of_what_is_computed_from_them() -> None:
    def gumbel(eps: float) -> Does:
        return lambda m, x: (m.linear(x) - torch.log(-torch.log(torch.rand(6, 3) + eps))).softmax(
            -1
        )

    assert checked(Model(gumbel(1e-5)), Model(gumbel(1e-5))).outcome == "PASS"
    for eps in (1e-5, 1e-4):
        assert checked(Model(gumbel(0.0)), Model(gumbel(eps))).outcome != "PASS"


def test_numbers_drawn_by_shape_are_those_drawn_like_a_tensor() -> None:
    """The noise of a variational autoencoder."""

    def like(m: Any, x: Tensor) -> Tensor:
        y = m.linear(x)
        return y + (0.3 * y).exp() * torch.randn_like(y)

    def of_shape(scale: float) -> Does:
        return lambda m, x: m.linear(x) + scale * (0.3 * m.linear(x)).exp() * torch.randn(6, 3)

    for scale, expected in ((1.0, "PASS"), (1.0001, "FAIL")):
        for pair in ((like, of_shape(scale)), (of_shape(scale), like)):
            report = checked(*map(Model, pair))
            assert report.outcome == expected, str(report)
    dropped = checked(
        Model(lambda m, x: m.linear(x) * (torch.rand_like(m.linear(x)) < 0.7)),
        Model(lambda m, x: m.linear(x) * (torch.rand(6, 3) < 0.7)),
    )
    assert dropped.outcome == "PASS", str(dropped)


def test_a_generator_that_is_seeded_in_the_forward() -> None:
    def drops(m: Any, x: Tensor) -> Tensor:
        return F.dropout(m.linear(x), 0.5)

    def same_mask(m: Any, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return drops(m, x)

    seed = torch.manual_seed
    report = checked(Model(drops), Model(same_mask))
    assert torch.manual_seed is seed
    assert [n for n in report.notes if "b seeds a random generator" in n]
    assert not checked(Model(drops), Model(drops)).notes

    def projected(generator: Callable[[], torch.Generator | None]) -> Does:
        return lambda m, x: m.linear(x) @ torch.randn(3, 2, generator=generator())

    fixed, drawn = projected(lambda: torch.Generator().manual_seed(0)), projected(lambda: None)
    assert [n for n in checked(Model(fixed), Model(drawn)).notes if "a seeds" in n]


def test_weights_that_are_no_parameters() -> None:
    """In a list the model does not see them, nor does nn.Module.parameters."""
    layer = nn.Linear(3, 3)

    def listed(sign: float) -> nn.Module:
        def does(m: Any, x: Tensor) -> Tensor:
            w = m.layers[0].weight
            return m.linear(x) @ ((1 - sign) * w.detach() + sign * w)

        return Model(does, layers=[copy.deepcopy(layer)])

    report = checked(listed(1.0), listed(-1.0))
    assert [n for n in report.notes if "none of its parameters" in n and "(3, 3)" in n]


def test_a_counter_that_one_of_the_two_forgets() -> None:
    def counts(m: Any, x: Tensor) -> Tensor:
        factor = 1.0 if m.n < 2 else 0.5
        m.n += 1
        return m.linear(x) * factor

    def forgets(m: Any, x: Tensor) -> Tensor:
        return m.linear(x) * (1.0 if m.n < 2 else 0.5)

    for pair in ((counts, forgets), (forgets, counts)):
        report = checked(*(Model(does, n=0) for does in pair))
        assert report.outcome == "UNJUDGED"
        assert [o.name for o in report.others if o.outcome == "unjudged"] == ["new n"]
    assert checked(Model(counts, n=0), Model(counts, n=0)).outcome == "PASS"
    alone = checked(Model(counts, n=0), Model(lambda m, x: m.linear(x)))
    assert alone.outcome == "PASS", "a counter that only one of the two has"


def test_a_recording_in_a_file_says_the_same(tmp_path: Path) -> None:
    def counts(m: Any, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        m.n += 1
        m.bank["last"] = x.detach()
        return m.linear(x) @ m.layers[0].weight

    def forgets(m: Any, x: Tensor) -> Tensor:
        return m.linear(x) @ m.layers[0].weight

    layer = nn.Linear(3, 3)
    a, b = (Model(does, n=0, bank={}, layers=[layer]) for does in (counts, forgets))
    record = tp.record_model(a, X, loss=square)
    record.save(tmp_path / "a.parity")
    kept = tp.load_recording(tmp_path / "a.parity")
    direct, stored = (tp.check_modules(one, b, X, loss=square) for one in (a, kept))
    assert {o.name for o in stored.others if o.outcome == "unjudged"} == {"new n"}
    for said in ("bank of", "none of its parameters", "seeds a random generator"):
        for report in (direct, stored):
            assert [n for n in report.notes if said in n], (said, report.notes)


class Schedule(nn.Module):
    def __init__(self, counts: bool) -> None:
        super().__init__()
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self.counts = counts

    def forward(self) -> float:
        factor = 1.0 if self.step < 2 else 0.5
        if self.counts:
            self.step += 1
        return factor


def test_a_buffer_called_step_is_no_optimizers_count() -> None:
    def does(m: Any, x: Tensor) -> Tensor:
        return m.linear(x) * m.schedule()

    models = [Model(does) for _ in range(2)]
    for model, counts in zip(models, (True, False), strict=True):
        model.schedule = Schedule(counts)
    assert checked(*models).outcome == "FAIL"
    assert checked(*models[::-1]).outcome == "FAIL"


def remembers(factor: float) -> Does:
    def does(m: Any, x: Tensor) -> Tensor:
        y = torch.tanh(m.linear(x) + (0 if m.h is None else m.h))
        m.h = (factor * y).detach()
        return y

    return does


def banks(factor: float) -> Does:
    def does(m: Any, x: Tensor) -> Tensor:
        y = m.linear(x)
        m.bank["last"] = [factor * y.detach()]
        return y

    return does


@pytest.mark.parametrize(("does", "state"), [(remembers, {"h": None}), (banks, {"bank": {}})])
def test_state_that_is_not_compared(does: Callable[[float], Does], state: dict[str, Any]) -> None:
    """Put there in the step, or in a dict: the names are said."""
    made = (Model(does(f), **copy.deepcopy(state)) for f in (1.0, 2.0))
    report = checked(*made)
    (name,) = state
    assert [n for n in report.notes if n.startswith(f"Not compared: {name} of a, {name} of b")]


def test_lists_of_tensors_are_as_they_were_afterwards() -> None:
    """Also where the step writes into them, appends to them or puts another list in their place."""

    def does(m: Any, x: Tensor) -> Tensor:
        with torch.no_grad():
            m.means[0].mul_(0.9).add_(m.linear.weight, alpha=0.1)
            m.seen["x"].append(x.detach())
            m.past = [*m.past, x[:1].detach()]
        return m.linear(x) + m.means[0].mean()

    def model() -> Any:
        state = {"means": [torch.ones(3, 4)], "seen": {"x": []}, "past": [torch.zeros(1, 4)]}
        return Model(does, **state)

    a, b = model(), model()
    report = checked(a, b)
    assert report.outcome == "PASS", str(report)
    assert tp.check_model(a, X, loss=square).outcome == "PASS"
    for m in (a, b):
        assert torch.equal(m.means[0], torch.ones(3, 4))
        assert m.seen == {"x": []}
        assert len(m.past) == 1


def trained(
    schedulers: tuple[Any, Any] = (None, None), hooks: tuple[Any, Any] = (None, None)
) -> Any:
    models = [Model(lambda m, x: m.linear(x)) for _ in range(2)]
    optimizers = [torch.optim.SGD(m.parameters(), 0.1) for m in models]
    for hook, optimizer, model in zip(hooks, optimizers, models, strict=True):
        if hook is not None:
            hook(optimizer, model)
    made = [s and s(o) for s, o in zip(schedulers, optimizers, strict=True)]
    drawn = torch.Generator().manual_seed(3)
    batches = [torch.randn(6, 4, generator=drawn) for _ in range(4)]
    return tp.train_modules(
        *models, batches, loss=square, optimizers=tuple(optimizers), schedulers=tuple(made)
    )


def averages(decay: float) -> Callable[[Any, Any], None]:
    def hook(optimizer: Any, model: Any) -> None:
        model.shadow = {n: p.detach().clone() for n, p in model.named_parameters()}

        def update(*_: Any) -> None:
            for n, p in model.named_parameters():
                model.shadow[n] = decay * model.shadow[n] + (1 - decay) * p.detach()

        optimizer.register_step_post_hook(update)

    return hook


def test_averages_of_weights_in_a_dict() -> None:
    report = trained(hooks=(averages(0.99), averages(0.9)))
    assert [n for n in report.notes if "shadow of a, shadow of b" in n]
    assert "shadow of a" in str(report)
    assert not trained().notes


def lambdas(late: float) -> Any:
    return lambda o: lr_scheduler.LambdaLR(o, lambda step: 1 if step < 10 else late)


def sequence(at: int) -> Any:
    return lambda o: lr_scheduler.SequentialLR(
        o,
        [lr_scheduler.ConstantLR(o, 1.0, 1), lr_scheduler.ExponentialLR(o, 0.9)],
        milestones=[at],
    )


STEPS: Any = lambda o: lr_scheduler.StepLR(o, 30)  # noqa: E731
MILESTONES: Any = lambda o: lr_scheduler.MultiStepLR(o, [30, 600])  # noqa: E731


@pytest.mark.parametrize(
    "schedulers", [(STEPS, None), (None, STEPS), (STEPS, MILESTONES), (lambdas(0.1), lambdas(0.5))]
)
def test_schedulers_that_cannot_be_compared_beyond_these_steps(schedulers: Any) -> None:
    report = trained(schedulers)
    assert [n for n in report.notes if "learning rates were compared" in n]


def test_schedulers_that_are_made_with_other_numbers() -> None:
    assert trained((sequence(10), sequence(100))).outcome == "FAIL"
    assert trained((sequence(10), sequence(10))).outcome == "PASS"
    assert trained((STEPS, STEPS)).notes == ()


def test_settings_of_torchs_modules_that_the_step_does_not_show() -> None:
    a = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)).eval()
    b = copy.deepcopy(a)
    assert not checked(a, b).notes
    b[1].p = 0.9  # type: ignore[assignment]
    report = checked(a, b)
    assert (report.outcome, len(report.notes)) == ("PASS", 1)
    assert "1.p is 0.5 in a and 0.9 in b" in report.notes[0]


class StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        return upstream


def test_a_surrogate_gradient_that_both_have_is_not_judged() -> None:
    def rounds(m: Any, x: Tensor) -> Tensor:
        return StraightThrough.apply(m.linear(x))  # type: ignore[no-any-return]

    def half(m: Any, x: Tensor) -> Tensor:
        y = m.linear(x)
        return StraightThrough.apply(y / 2 + y.detach() / 2)  # type: ignore[no-any-return]

    report = checked(Model(rounds), Model(rounds))
    assert report.outcome == "UNJUDGED"
    assert "straight-through estimator" in str(report)
    assert checked(Model(rounds), Model(half)).outcome == "FAIL"
    plain = checked(Model(rounds), Model(lambda m, x: m.linear(x).round()))
    assert plain.outcome == "FAIL"


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.a, ctx.b = a.detach(), b.detach()
        return a * b

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
        return upstream * ctx.b, upstream * ctx.a


class ByNumPy(Product):
    """No recorded call makes what it returns."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.a, ctx.b = a.detach(), b.detach()
        return torch.from_numpy(a.detach().numpy() * b.detach().numpy())


def test_a_function_that_is_not_judged_is_named() -> None:
    def applying(function: type[Product]) -> Model:
        return Model(lambda m, x: function.apply(m.linear(x), x[:, :3].clone()))  # type: ignore[no-any-return]

    a = Model(lambda m, x: m.linear(x) * x[:, :3].clone())
    assert checked(a, applying(Product)).outcome == "PASS"
    report = checked(a, applying(ByNumPy))
    assert report.outcome == "UNJUDGED"
    assert "Not judged: the backward of ByNumPy" in str(report)
