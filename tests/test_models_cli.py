"""`parity modules` and `parity model`: the exit status is the answer; bad input is one error."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import Ended

NETS = """
import torch
from torch import nn

def net(form):
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(approximate=form), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    return model, torch.randn(5, 4), lambda out: out.pow(2).mean(), optimizer

def exact(): return net("none")
def tanh(): return net("tanh")
def number(): return 3
def fails(): return nn.Linear(3, 2), torch.randn(4, 5)
def nothing(): return (lambda x: None), torch.randn(2)
def vector(): return nn.Linear(3, 2), torch.randn(4, 3), lambda out: out
def raises(): raise KeyError("here")
made = nn.Sequential(nn.Linear(3, 2))
def spectrum(): return (lambda x: torch.linalg.svdvals(x)), torch.randn(2, 8)
"""


@pytest.fixture
def nets(tmp_path: Path) -> str:
    (tmp_path / "nets.py").write_text(NETS, "utf-8")
    return str(tmp_path / "nets.py")


@pytest.mark.parametrize(
    ("arguments", "status", "outcome"),
    [
        (("modules", ":exact", ":exact"), 0, "PASS"),
        (("modules", ":exact", ":tanh"), 1, "FAIL"),
        (("model", ":exact"), 0, "PASS"),
        (("model", ":spectrum"), 3, "UNJUDGED"),
    ],
)
def test_the_exit_status_is_the_answer(
    parity: Callable[..., Ended], nets: str, arguments: tuple[str, ...], status: int, outcome: str
) -> None:
    command, *names = arguments
    places = [nets + name for name in names]
    ran = parity(command, *places)
    assert ran.status == status, ran
    assert ran.out.startswith(outcome)
    told = json.loads(parity(command, *places, "--json").out)
    assert told["outcome"] == outcome
    if outcome == "FAIL":
        assert told["causes"] == ["gelu_form"]
        assert told["parting"]["b"][0]["module"] == "1"
    if outcome == "UNJUDGED":
        assert told["unjudged"]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (":number", "returned int; expected a model"),
        (":fails", "the forward of fails raised RuntimeError"),
        (":nothing", "nothing returned nothing"),
        (":vector", "the loss is (4, 2), expected one number"),
        (":raises", "raised KeyError"),
        (":made", "made is a Sequential that exists already; expected a function that makes it"),
        (":exat", "has no function 'exat'; did you mean 'exact'?"),
        ("", "expected FILE.py:NAME"),
        ("x:exact", "there is no such file"),
    ],
)
def test_bad_input_is_one_error(
    parity: Callable[..., Ended], nets: str, place: str, message: str
) -> None:
    ran = parity("model", nets + place)
    assert ran.status == 2
    assert ran.out == ""
    assert message in ran.err
    assert "Traceback" not in ran.err
