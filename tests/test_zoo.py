"""The zoo that judges are measured on: every model trains, right pairs agree, mistakes show."""

import pytest
import torch
from torch import Tensor

from benchmarks.zoo import cases

SEED = 1


def train(case: cases.ZooCase, seed: int = SEED) -> dict[str, Tensor]:
    """One step; what it computes, by name."""
    _, losses = cases.step(case, seed)
    seen = {f"loss {i}": loss.detach() for i, loss in enumerate(losses)}
    for name, parameter in case.model.named_parameters():
        seen[name] = parameter.detach().clone()
        if parameter.grad is not None:
            seen[f"{name}.grad"] = parameter.grad
    return seen | dict(case.model.named_buffers())


@pytest.mark.parametrize("name", cases.NAMES)
def test_each_case_trains_and_is_drawn_from_its_seed(name: str) -> None:
    case, again = cases.case(name, SEED), cases.case(name, SEED)
    before = {k: p.detach().clone() for k, p in case.model.named_parameters()}
    seen, twice = train(case), train(again)
    for key, value in seen.items():
        assert torch.isfinite(value.float()).all(), f"{name}, seed {SEED}: {key} is not finite"
        assert torch.equal(value, twice[key]), f"{name}, seed {SEED}: {key} differs on a second run"
    for key, start in before.items():
        assert f"{key}.grad" in seen, f"{name}, seed {SEED}: {key} has no gradient"
        assert not torch.equal(seen[key], start), f"{name}, seed {SEED}: {key} was not updated"
        if start.dim() < 2:
            assert not ((start == 0) | (start == 1)).any(), f"{name}, seed {SEED}: {key} is plain"


def test_cases_leave_torchs_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    cases.step(cases.case("mlp", SEED))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_cases_exist_in_other_precisions(dtype: torch.dtype) -> None:
    for name in ("resnet", "lstm", "gpt", "autocast"):
        seen = train(cases.case(name, SEED, dtype))
        assert all(torch.isfinite(x.float()).all() for x in seen.values()), f"{name}, seed {SEED}"
