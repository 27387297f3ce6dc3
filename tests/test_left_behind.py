"""What a step returns, draws and leaves behind: types of outputs, distributions, attributes."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.small_models import Applied, linear, squares, x_of
from torch_parity import train_modules
from torch_parity.compare.aten.check import check_model, check_modules


@pytest.mark.parametrize(
    ("of_a", "of_b"),
    [
        (lambda out: out > 0, lambda out: (out > 0).float()),
        (lambda out: out.argmax(-1), lambda out: out.argmax(-1).int()),
        (lambda out: out.argmax(-1), lambda out: out.argmax(-1).float()),
        (lambda out: out, lambda out: out.double()),
    ],
)
def test_outputs_of_another_type_fail(of_a: Any, of_b: Any) -> None:
    a, b = (Applied(lambda m, x, f=f: f(m.fc(x))) for f in (of_a, of_b))
    report = check_modules(a, b, x_of())
    assert report.outcome == "FAIL"
    assert len(report.differing) == 1
    assert check_modules(a, copy.deepcopy(a), x_of()).outcome == "PASS"


# The second model draws the numbers of the first, so only what they are drawn from differs.
DRAWN: dict[str, Callable[[Tensor, float], Tensor]] = {
    "uniform": lambda out, c: out * torch.empty(3).uniform_(0, c),
    "normal": lambda out, c: out + torch.empty(3).normal_(0, c),
    "normal around": lambda out, c: out + torch.normal(out.detach() * c, 1.0),
    "a mask": lambda out, c: out * torch.empty(3).bernoulli_(c / 2),
    "a mask of probabilities": lambda out, c: (
        out * torch.bernoulli((out.sigmoid() * c / 2).detach())
    ),
    "choices": lambda out, c: out[torch.multinomial(torch.tensor([1.0, 2.0, 3.0 * c]), 1)],
    "integers": lambda out, c: out[torch.randint(0, int(2 * c), (2,))],
}


@pytest.mark.parametrize("name", DRAWN)
def test_random_numbers_of_another_distribution_fail(name: str) -> None:
    a, b, c = (Applied(lambda m, x, c=c: DRAWN[name](m.fc(x), c)) for c in (1.0, 1.0, 1.5))
    assert check_modules(a, b, x_of(), loss=squares).outcome == "PASS"
    report = check_modules(a, c, x_of(), loss=squares)
    assert report.outcome == "FAIL"
    assert len(report.differing) == 1


def test_a_dropout_in_another_form_draws_the_same() -> None:
    a = Applied(lambda m, x: F.dropout(m.fc(x), 0.3))
    forms: list[Callable[[Tensor], Tensor]] = [
        lambda out: out * torch.empty(4, 3).bernoulli_(0.7) / 0.7,
        lambda out: out * torch.bernoulli(torch.full((4, 3), 0.7)) / 0.7,
    ]
    for form in forms:
        b = Applied(lambda m, x, f=form: f(m.fc(x)))
        assert check_modules(a, b, x_of(), loss=squares).outcome == "PASS"


def counting(by: float, reads: bool = True) -> nn.Module:
    """Keeps a tensor as a plain attribute, and changes it."""

    def forward(m: Any, x: Tensor) -> Tensor:
        m.total = m.total + by if reads else torch.full((3,), by)
        return m.fc(x)

    made: Any = Applied(forward)
    made.total = torch.ones(3)
    return made


def test_a_tensor_that_is_a_plain_attribute_is_state() -> None:
    """A cache, which is only written, is none."""
    a, b = counting(1.0), counting(2.0)
    report = check_modules(a, b, x_of())
    assert [e.end.name for e in report.wrong] == ["new total"]
    for m in (a, b):
        assert torch.equal(m.total, torch.ones(3)), "put back"  # type: ignore[arg-type]
        assert m.total.dtype == torch.float32
    assert check_modules(a, counting(1.0), x_of()).outcome == "PASS"
    assert check_modules(counting(1.0, False), counting(2.0, False), x_of()).outcome == "PASS"


def test_a_cache_that_the_step_makes_is_taken_away_again() -> None:
    def caching(m: Any, x: Tensor) -> Tensor:
        if not hasattr(m, "table"):
            m.table = torch.arange(3).float() / 7
        return m.fc(x) * m.table

    a, b = Applied(caching), Applied(caching)
    assert check_modules(a, b, x_of(), loss=squares).outcome == "PASS"
    assert not hasattr(a, "table")


@pytest.mark.parametrize(
    ("of_b", "outcome"),
    [(0.9, "PASS"), (0.8, "FAIL"), (0.9 + 1e-9, "UNJUDGED"), (None, "UNJUDGED")],
)
def test_a_number_that_both_models_keep_is_compared(of_b: float | None, outcome: str) -> None:
    """One that only one of them changes is not judged."""

    def keeping(factor: float | None) -> nn.Module:
        def forward(m: Any, x: Tensor) -> Tensor:
            m.scale = m.scale * factor if factor else m.scale
            return m.fc(x)

        made: Any = Applied(forward)
        made.scale = 1.5
        return made

    a, b = keeping(0.9), keeping(of_b)
    assert check_modules(a, b, x_of()).outcome == outcome
    assert a.scale == b.scale == 1.5, "put back"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_measured_time_is_not_judged(dtype: torch.dtype) -> None:
    """No two runs take the same time."""
    ticks = iter(2.0 ** torch.arange(20.0, dtype=torch.float64).numpy())

    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        m.seconds = float(next(ticks))
        return m.first(x)

    a = Applied(forward, first=nn.Linear(5, 3)).to(dtype)
    a.seconds = 0.0
    report = check_modules(a, copy.deepcopy(a), x_of().to(dtype))
    assert report.outcome == "UNJUDGED"
    assert {o.name: o.outcome for o in report.others} == {"new seconds": "unjudged"}


class Temperature(nn.Module):
    """A loss that learns, and one that remembers what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(0.3))
        self.register_buffer("seen", torch.ones(()))

    def forward(self, out: Tensor, target: Tensor) -> Tensor:
        loss = F.cross_entropy(out * self.log_scale.exp(), target)
        with torch.no_grad():
            self.seen.mul_(0.9).add_(0.1 * loss.float())
        return loss / self.seen


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_loss_with_a_state_of_its_own(dtype: torch.dtype) -> None:
    """Both models begin with the same state of it, and it is left as it was."""
    a, b = (linear().to(dtype) for _ in "ab")
    x, y = x_of().to(dtype), torch.tensor([0, 2, 1, 1])
    loss = Temperature().to(dtype)
    before = copy.deepcopy(loss.state_dict())
    assert check_modules(a, b, x, loss=loss, target=y).outcome == "PASS"
    assert check_model(a, x, loss=loss, target=y).outcome == "PASS"
    optimizers = tuple(torch.optim.SGD(m.parameters(), 0.1) for m in (a, b))
    report = train_modules(a, b, [(x, y)] * 3, loss=loss, optimizers=optimizers)
    assert report.outcome == "PASS", str(report)
    assert loss.log_scale.grad is None
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())
    with torch.no_grad():
        b[0].weight[0, 0] *= 1.001
    assert check_modules(a, b, x, loss=loss, target=y).outcome == "FAIL"
