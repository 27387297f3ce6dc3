"""The zoo that judges are measured on: every model trains, right pairs agree, mistakes show."""

from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.zoo import cases, pairs

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


@pytest.mark.parametrize("kind", pairs.KINDS)
def test_right_pairs_agree(kind: str) -> None:
    pair = pairs.pair(kind, SEED)
    outputs, losses = zip(*(cases.step(case, SEED) for case in (pair.a, pair.b)), strict=True)
    told = f"{kind}, seed {SEED}"
    for one, other in zip(*map(tensors_of, outputs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9, msg=told)
    torch.testing.assert_close(*losses, rtol=1e-9, atol=1e-9, msg=told)
    a, b = (dict(case.model.named_parameters()) for case in (pair.a, pair.b))
    buffers = dict(pair.b.model.named_buffers())
    for name, buffer in pair.a.model.named_buffers():
        if name in buffers:
            torch.testing.assert_close(buffers[name], buffer, rtol=1e-9, atol=1e-9, msg=told)
    expected = pair.port({name: parameter.grad for name, parameter in a.items()})
    updated = pair.port({name: parameter.detach() for name, parameter in a.items()})
    assert expected.keys() == b.keys(), told
    for name, parameter in b.items():
        grad = parameter.grad
        torch.testing.assert_close(grad, expected[name], rtol=1e-9, atol=1e-9, msg=told + name)
        clear = expected[name].abs() > 1e-6  # an Adam makes whole steps of mere rounding
        difference = torch.where(clear, parameter - updated[name], 0.0)
        assert difference.abs().max() < 1e-8, f"{told}: {name} is updated differently"


def tensors_of(output: Any) -> list[Tensor]:
    return list(output) if isinstance(output, tuple) else [cases.logits(output)]
