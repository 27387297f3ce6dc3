"""Two float32 models are compared in float64, and yet are what they are in float32: the limits of
their type, constants that one holds as a tensor and the other as a Python number."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.small_models import SEED, Applied, linear, squares, x_of
from torch_parity.compare.aten.check import check_modules

EPS = torch.finfo(torch.float32).eps
COLOURS = [0.485, 0.456, 0.406]


def rms(eps: float) -> Callable[..., Tensor]:
    def norm(m: Any, x: Tensor) -> Tensor:
        h = 1e-3 * m.fc(x)
        return h * torch.rsqrt(h.square().mean(-1, keepdim=True) + eps)

    return norm


def own(m: Any, x: Tensor) -> Tensor:
    return rms(torch.finfo(x.dtype).eps)(m, x)


def of_torch(m: Any, x: Tensor) -> Tensor:
    return nn.functional.rms_norm(1e-3 * m.fc(x), (3,))


@pytest.mark.parametrize("b", [own, of_torch])
def test_limits_are_those_of_the_models_own_type(b: Callable[..., Any]) -> None:
    """In float64 the default eps of rms_norm and torch.finfo(x.dtype).eps are 2.2e-16."""
    x = x_of()
    for one, other in ((rms(EPS), b), (b, rms(EPS)), (b, b), (own, of_torch)):
        assert check_modules(Applied(one), Applied(other), x, loss=squares).outcome == "PASS"
    for eps in (1e-6, 2.2e-16, 1.01 * EPS):
        report = check_modules(Applied(rms(eps)), Applied(b), x, loss=squares)
        assert report.outcome == "FAIL", f"{eps}: {report}"
    double = (Applied(f).double() for f in (rms(EPS), b))
    assert check_modules(*double, x.double(), loss=squares).outcome == "FAIL"
    assert isinstance(torch.finfo, type), "torch has its own again"


def test_a_half_asks_for_the_limits_of_a_half() -> None:
    def by_hand(m: Any, x: Tensor) -> Tensor:
        return m.fc(x) / (m.fc(x).norm() + torch.finfo(torch.bfloat16).eps)

    def asked(m: Any, x: Tensor) -> Tensor:
        return m.fc(x) / (m.fc(x).norm() + torch.finfo(x.dtype).eps)

    a, b = (Applied(f).bfloat16() for f in (by_hand, asked))
    assert check_modules(a, b, x_of().bfloat16()).outcome == "PASS"


def one_by_one(numbers: list[float]) -> Callable[..., Tensor]:
    return lambda m, x: torch.stack([m.fc(x)[:, i] * c for i, c in enumerate(numbers)], 1)


def as_a_list(numbers: list[float]) -> Callable[..., Tensor]:
    return lambda m, x: m.fc(x) * torch.tensor(numbers)


@pytest.mark.parametrize("numbers", [COLOURS, [0.1, 2.0, 0.1], [0.3, 0.3, 0.3]])
def test_a_list_of_constants(numbers: list[float]) -> None:
    a, b = Applied(one_by_one(numbers)), Applied(as_a_list(numbers))
    assert check_modules(a, b, x_of(), loss=squares).outcome == "PASS"
    assert check_modules(b, a, x_of(), loss=squares).outcome == "PASS"
    wrong = Applied(as_a_list([*numbers[:2], numbers[2] * (1 + 1e-6)]))
    assert check_modules(a, wrong, x_of(), loss=squares).outcome == "FAIL"


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_a_learning_rate_in_a_tensor(kind: Any) -> None:
    def compared(of_a: Any, of_b: Any) -> Any:
        a = linear()
        b = copy.deepcopy(a)
        both = kind(a.parameters(), lr=of_a), kind(b.parameters(), lr=of_b)
        report = check_modules(a, b, x_of(), loss=squares, optimizers=both)
        assert both[0].param_groups[0]["lr"] is of_a
        return report

    assert compared(torch.tensor(0.1), 0.1).outcome == "PASS", f"seed {SEED}"
    assert compared(torch.tensor(0.1), torch.tensor(0.1)).outcome == "PASS"
    wrong = compared(torch.tensor(0.1), 0.1000001)
    assert wrong.outcome == "FAIL"
    assert wrong.causes == ("learning_rate",)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_single_numbers_are_compared_in_float64_too(dtype: torch.dtype) -> None:
    x, y = torch.tensor(0.3, dtype=dtype, requires_grad=True), torch.tensor(-1.1, dtype=dtype)

    def by_hand(factor: float) -> Callable[..., Tensor]:
        return lambda m, x, y: factor * (x - y).pow(2)

    for factor, outcome in ((1.0, "PASS"), (1 + 1e-9, "FAIL")):
        b = Applied(by_hand(factor)).to(dtype)
        report = check_modules(nn.MSELoss(), b, x, y, loss=lambda out: out)
        assert report.outcome == outcome, f"{factor}: {report}"
        assert report.precision == "float64"
