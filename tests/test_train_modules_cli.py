"""`parity train-modules`: the exit status is the answer, the run can be shown; bad input is one
error."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import Ended, refusal

NETS = """
import itertools
import torch
from torch import nn

def trained(momentum, a=None):
    model = nn.Linear(4, 2)
    batches = [(torch.randn(5, 4), torch.randn(5, 2)) for _ in range(4)]
    return model, batches, nn.MSELoss(), torch.optim.SGD(model.parameters(), 0.1, momentum)

def right(): return trained(0.9)
def slower(): return trained(0.8)
def endless():
    model, batches, *rest = trained(0.9)
    return model, itertools.cycle(batches), *rest
def scheduled():
    parts = trained(0.9)
    return *parts, torch.optim.lr_scheduler.StepLR(parts[-1], 2, 0.5)
def model_only(): return trained(0.9)[0]
def no_batches(): return nn.Linear(4, 2), None, nn.MSELoss(), trained(0.9)[-1]
"""


@pytest.fixture
def nets(tmp_path: Path) -> str:
    (tmp_path / "nets.py").write_text(NETS, "utf-8")
    return str(tmp_path / "nets.py")


@pytest.mark.parametrize(
    ("b", "options", "status", "outcome", "steps"),
    [
        ("right", (), 0, "PASS", 4),
        ("endless", ("--steps", "3"), 0, "PASS", 3),
        ("right", ("--every", "2"), 3, "UNJUDGED", 4),
        ("slower", (), 1, "FAIL", 4),
        ("scheduled", (), 1, "FAIL", 4),
    ],
)
def test_the_exit_status_is_the_answer(
    parity: Callable[..., Ended],
    nets: str,
    b: str,
    options: tuple[str, ...],
    status: int,
    outcome: str,
    steps: int,
) -> None:
    a = "endless" if b == "endless" else "right"
    ran = parity("train-modules", f"{nets}:{a}", f"{nets}:{b}", *options, "--json")
    assert ran.status == status, ran
    told = json.loads(ran.out)
    assert (told["outcome"], told["steps"]) == (outcome, steps)
    assert json.loads(Path("runs/nets/summary.json").read_text()) == told
    if b == "slower":
        assert (told["wrong_step"], told["causes"]) == (2, ["momentum"]), "buffers begin as 0"
    if b == "scheduled":
        assert (told["wrong_step"], told["causes"]) == (3, ["learning_rate"])


def test_a_run_gets_the_next_free_name(parity: Callable[..., Ended], nets: str) -> None:
    for name in ("nets", "nets-2"):
        ran = parity("train-modules", f"{nets}:right", f"{nets}:right", "--steps", "1")
        assert ran.status == 0
        assert ran.out.rstrip().endswith(f"(parity board {name})")


@pytest.mark.parametrize(
    "names",
    [("model_only", "right"), ("right", "model_only"), ("no_batches", "right"), ("none", "right")],
)
def test_bad_input_is_one_error(
    parity: Callable[..., Ended], nets: str, names: tuple[str, str]
) -> None:
    refusal(parity("train-modules", *(f"{nets}:{name}" for name in names)))
    assert not list(Path().glob("runs/*"))
