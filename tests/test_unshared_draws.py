"""Random numbers that two models draw by the same means are shared; those drawn by other means
cannot be, and what is computed from them is UNJUDGED."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn import functional as F

from tests.small_models import returning, squares, x_of
from torch_parity.compare.aten.check import check_modules
from torch_parity.compare.aten.pair_report import ModulesReport

Form = Callable[[Tensor], Tensor]


def log_log(h: Tensor) -> Tensor:
    return h - torch.log(-torch.log(torch.rand_like(h)))


def by_hand(h: Tensor) -> Tensor:
    return h * (torch.rand_like(h) >= 0.3) / 0.7


SHARED: dict[str, tuple[Form, Form]] = {
    "normal_": (lambda h: h + torch.randn_like(h), lambda h: h + torch.empty_like(h).normal_()),
    "normal": (lambda h: h + torch.randn(h.shape), lambda h: h + torch.normal(0.0, 1.0, h.shape)),
    "rsample": (
        lambda h: h + 0.5 * torch.randn_like(h),
        lambda h: Normal(h, torch.full_like(h, 0.5)).rsample(),
    ),
    "uniform_": (lambda h: h + torch.rand_like(h), lambda h: h + torch.empty_like(h).uniform_()),
    "bernoulli": (
        lambda h: F.dropout(h, 0.3), lambda h: h * torch.bernoulli(torch.full_like(h, 0.7)) / 0.7
    ),
}  # fmt: skip
BY_OTHER_MEANS: dict[str, tuple[Form, Form]] = {
    "dropout": (lambda h: F.dropout(h, 0.3), by_hand),
    "dropout below": (
        lambda h: F.dropout(h, 0.3), lambda h: h * (torch.rand(h.shape) < 0.7).float() / 0.7
    ),
    "gumbel": (lambda h: h - torch.empty_like(h).exponential_().log(), log_log),
}  # fmt: skip
# numbers of another range come from the generator as rand's do
SHARED["range"] = (
    lambda h: h + 2 * torch.rand_like(h) - 1, lambda h: h + torch.empty_like(h).uniform_(-1, 1)
)  # fmt: skip
BY_OTHER_MEANS["transposed"] = (
    lambda h: F.dropout(h, 0.3),
    lambda h: F.dropout(h.T.contiguous(), 0.3).T,
)
WRONG: dict[str, tuple[Form, Form]] = {
    "deviation": (
        lambda h: h + torch.normal(0.0, 1.0, h.shape), lambda h: h + torch.normal(0.0, 2.0, h.shape)
    ),
    "uniform": (lambda h: h + torch.randn_like(h), lambda h: h + torch.rand_like(h)),
    "channels": (lambda h: F.dropout(h, 0.5), lambda h: F.dropout1d(h, 0.5)),
    "p": (lambda h: F.dropout(h, 0.5), lambda h: F.dropout(h, 0.4)),
    "none": (lambda h: F.dropout(h, 0.5), lambda h: h),
    "before": (lambda h: F.dropout(h, 0.3), lambda h: by_hand(h * 1.0).detach() * h.exp()),
}  # fmt: skip


def judged(forms: tuple[Form, Form], dtype: torch.dtype) -> ModulesReport:
    a, b = (returning(f).to(dtype) for f in forms)
    return check_modules(a, b, x_of().to(dtype), loss=squares)


both = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


@both
@pytest.mark.parametrize("name", SHARED)
def test_the_same_numbers_are_drawn(name: str, dtype: torch.dtype) -> None:
    report = judged(SHARED[name], dtype)
    assert report.outcome == "PASS", report.verdict


@both
@pytest.mark.parametrize("name", BY_OTHER_MEANS)
def test_what_comes_from_other_draws_is_not_judged(name: str, dtype: torch.dtype) -> None:
    report = judged(BY_OTHER_MEANS[name], dtype)
    assert report.outcome == "UNJUDGED", report.verdict
    assert not report.causes
    assert "cannot draw the same" in report.verdict


@both
@pytest.mark.parametrize("name", [n for n in WRONG if n != "before"])
def test_other_random_numbers_are_wrong(name: str, dtype: torch.dtype) -> None:
    assert judged(WRONG[name], dtype).outcome == "FAIL"


@both
def test_a_mistake_before_other_draws_is_not_passed(dtype: torch.dtype) -> None:
    assert judged(WRONG["before"], dtype).outcome != "PASS"


@both
def test_a_mean_within_the_draw_is_not_wrong(dtype: torch.dtype) -> None:
    """normal(mean, std) draws what randn draws, if the generator is in the same state."""
    forms = (
        lambda h: h.detach() + 0.5 * torch.randn_like(h),
        lambda h: Normal(h, torch.full_like(h, 0.5)).sample(),
    )
    assert judged(forms, dtype).outcome != "FAIL"


def test_a_mistake_beside_other_draws_is_wrong() -> None:
    """An output that is not computed from them."""
    a = returning(lambda h: (F.dropout(h, 0.3), h.tanh()))
    b = returning(lambda h: (by_hand(h), h.tanh() * 1.001))
    report = check_modules(a, b, x_of())
    assert report.outcome == "FAIL"
    outcomes = {e.end.name: e.outcome for e in report.alignment.ends}
    assert outcomes == {"output.0": "unjudged", "output.1": "wrong"}


def test_a_model_draws_the_same_in_float64() -> None:
    """Else rand < p would be another mask there, and its output far from that in float32."""
    noisy = returning(by_hand)
    torch.manual_seed(5)
    report = check_modules(noisy, returning(lambda h: by_hand(h) * 1.0), x_of(64, 5))
    assert report.outcome == "PASS", report.verdict
    assert not report.others
