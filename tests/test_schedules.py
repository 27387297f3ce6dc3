"""Schedules of the learning rate: both sides, the judge's law of them, and what it sees."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR, StepLR

from torch_parity import manual
from torch_parity.compare import data
from torch_parity.compare.case import Case
from torch_parity.compare.errors import InputError
from torch_parity.compare.judge.judge import Judgement
from torch_parity.compare.runs.training import Training
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.arrays.check import check
from torch_parity.compare.sources.arrays.start import given
from torch_parity.torch_ref.schedules import cosine_lr as in_torch

SMALL = {"data": "moons", "samples": 60, "hidden": (4,), "batch": 16, "steps": 20, "lr": 0.02}
DECAY: dict[str, Any] = {"schedule": "step_lr", "step_size": 3, "gamma": 0.5}
COSINE: dict[str, Any] = {"schedule": "cosine_lr", "warmup": 6}


def optimizer_of(lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates(scheduler: LRScheduler, steps: int) -> list[float]:
    """The learning rate of each step."""
    found = []
    for _ in range(steps):
        found.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    return found


def by_hand(schedule: Any, lr: float, count: int, **options: Any) -> list[float]:
    return [float(schedule(np.asarray(lr), np.asarray(t), **options)) for t in range(count)]


def test_step_lr_is_torchs() -> None:
    theirs = rates(StepLR(optimizer_of(0.3), 4, 0.7), 60)
    assert by_hand(manual.step_lr, 0.3, 60, step_size=4, gamma=0.7) == pytest.approx(
        theirs, rel=1e-14
    )
    assert theirs[3] == 0.3
    assert theirs[4] == pytest.approx(0.21)


@pytest.mark.parametrize("warmup", [0, 1, 7])
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
def test_cosine_lr_is_torchs_linear_and_cosine_in_a_row(warmup: int) -> None:
    """A chain of schedulers that shares no formula with either side."""
    optimizer, steps = optimizer_of(0.3), 40
    falls: LRScheduler = CosineAnnealingLR(optimizer, steps - warmup)
    if warmup:
        rises = LinearLR(optimizer, 1 / (warmup + 1), total_iters=warmup)
        falls = SequentialLR(optimizer, [rises, falls], milestones=[warmup])
    theirs = rates(falls, steps)
    ours = by_hand(manual.cosine_lr, 0.3, steps, steps=steps, warmup=warmup)
    assert ours == pytest.approx(theirs, rel=1e-11)
    again = rates(in_torch.cosine_lr(optimizer_of(0.3), steps, warmup), steps)
    assert ours == pytest.approx(again, rel=1e-15)
    assert max(ours) == ours[warmup] == 0.3


def test_a_warmup_as_long_as_the_training_is_refused() -> None:
    with pytest.raises(ValueError, match="warmup is 5, expected 0 to 4 of 5"):
        manual.cosine_lr(np.asarray(0.1), np.asarray(0), steps=5, warmup=5)
    with pytest.raises(ValueError, match="warmup is 5"):
        Case(schedule="cosine_lr", warmup=5, steps=5)


def judged(chosen: dict[str, Any]) -> list[Judgement]:
    case = Case.model_validate(SMALL | chosen)
    loaded = data.load(case)
    return [record.judgement for record in Training(case, loaded, pair.build(case, loaded))]


@pytest.mark.parametrize(
    ("optimizer", "dtype"),
    [("sgd", "float64"), ("momentum_course", "float32"), ("adamw", "bfloat16")],
)
@pytest.mark.parametrize("chosen", [DECAY, COSINE], ids=lambda chosen: chosen["schedule"])
def test_right_sides_pass_and_the_learning_rate_is_judged(
    chosen: dict[str, Any], optimizer: str, dtype: str
) -> None:
    made = judged({**chosen, "optimizer": optimizer, "dtype": dtype})
    assert len(made) == SMALL["steps"]
    for judgement in made:
        assert judgement.passed, judgement.root
        assert "lr" in {d.name for d in judgement.differences}


def first_fault(made: list[Judgement]) -> Judgement:
    return next(judgement for judgement in made if not judgement.passed)


def test_a_scheduler_that_is_stepped_late_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    right = in_torch.cosine_lr

    def late(optimizer: torch.optim.Optimizer, steps: int, warmup: int) -> LRScheduler:
        scheduler = right(optimizer, steps, warmup)
        of = scheduler.lr_lambdas[0]
        scheduler.lr_lambdas = [lambda t: of(max(t - 1, 0))] * len(optimizer.param_groups)
        return scheduler

    monkeypatch.setattr(in_torch, "cosine_lr", late)
    made = judged(COSINE)
    assert made[0].passed  # where the first and the second step have the same one
    found = first_fault(made)
    assert found.wrong == {"manual": (), "torch": ("lr",)}
    assert found.diagnoses["torch"].names == (frozenset({"schedule_one_step_off"}),)


def test_a_scheduler_that_changes_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def still(self: StepLR) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    monkeypatch.setattr(StepLR, "get_lr", still)
    found = first_fault(judged(DECAY))
    assert found.wrong == {"manual": (), "torch": ("lr",)}
    assert frozenset({"schedule_not_used"}) in found.diagnoses["torch"].names


def test_an_update_with_another_learning_rate_than_the_schedules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The learning rate is right, and not used."""
    step = torch.optim.SGD.step

    def other(self: torch.optim.SGD, *args: Any) -> Any:
        kept = [group["lr"] for group in self.param_groups]
        for group in self.param_groups:
            group["lr"] *= 1.5
        made = step(self, *args)
        for group, lr in zip(self.param_groups, kept, strict=True):
            group["lr"] = lr
        return made

    monkeypatch.setattr(torch.optim.SGD, "step", other)
    found = first_fault(judged(DECAY | {"optimizer": "sgd"}))
    assert set(found.wrong["torch"]) == {"W1", "b1", "W2", "b2"}
    assert found.diagnoses["torch"].names == (frozenset({"learning_rate"}),)


def test_arrays_of_a_step_are_judged_by_its_learning_rate() -> None:
    case = Case.model_validate(SMALL | DECAY | {"optimizer": "sgd", "p": 0.0})
    at = given(case, step=5)
    mine = {"W1": at.recorded.manual["W1"]}
    assert check(mine, at).passed
    W, dW = at["W1"], at.recorded.manual["dW1"]
    np.testing.assert_allclose(mine["W1"], W - 0.01 * dW, rtol=1e-12)
    assert not check({"W1": W - 0.02 * dW}, at).passed
    with pytest.raises(InputError, match="several steps in a row are judged with one lr"):
        check([mine, mine], at)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_learning_rate_keeps_its_type(dtype: str) -> None:
    """A whole number of NumPy's as the exponent would make float64 of it."""
    lr, t = np.asarray(0.1, dtype), np.asarray(7)
    assert manual.step_lr(lr, t, step_size=3, gamma=0.5).dtype == dtype
    assert manual.cosine_lr(lr, t, steps=20, warmup=3).dtype == dtype
