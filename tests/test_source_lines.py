"""The source line of each call: the user's, in the model or where the judge is called; never one
of the program that runs a command."""

import json
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.command import Ended
from torch_parity.compare.aten.step import Step, record_step

NETS = """
import torch
from torch import nn

class Own(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.form = form
    def forward(self, x):
        return nn.functional.gelu(x, approximate=self.form)

def bare(form): return nn.Sequential(nn.Linear(4, 3), nn.GELU(form)), torch.randn(5, 4)
def a(): return bare("none")
def b(): return bare("tanh")
def c(): return Own("none"), torch.randn(5, 4)
def d(): return Own("tanh"), torch.randn(5, 4)
"""


SCRIPTS = sysconfig.get_path("scripts")
PACKAGE = "/venv/lib/python3.11/site-packages/tool/model.py"
RECORDS = "found = {call.line for call in record_step(step).calls}"
MODEL = """class found(nn.Module):
    def forward(self, x):
        return x.exp()
"""


def run_from(file: str, code: str, **names: Any) -> Any:
    """What the code, as if it stood in that file, leaves as `found`."""
    exec(compile(code, file, "exec"), names)
    return names["found"]


EXEC = f"{__file__}:{run_from.__code__.co_firstlineno + 2}"


@pytest.mark.parametrize(("pair", "line"), [(("a", "b"), ""), (("c", "d"), "nets.py:10")])
def test_a_command_is_not_the_users_program(
    parity: Callable[..., Ended], pair: tuple[str, str], line: str
) -> None:
    Path("nets.py").write_text(NETS, "utf-8")
    places = [f"nets.py:{name}" for name in pair]
    ran = parity("modules", *places)
    assert ran.status == 1
    assert ("forward, nets.py:10\n" in ran.out) == bool(line), ran.out
    told = json.loads(parity("modules", *places, "--json").out)["parting"]
    assert {call["line"].rpartition("/")[2] for side in "ab" for call in told[side]} == {line}


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("/home/me/train.py", "/home/me/train.py:1"),
        (PACKAGE, EXEC),
        (f"{SCRIPTS}/tool", EXEC),
        (f"{SCRIPTS}2/tool", f"{SCRIPTS}2/tool:1"),
    ],
)
def test_what_calls_the_judge_is_the_users_unless_it_is_installed(file: str, line: str) -> None:
    """Of modules of torch alone; EXEC is the line of this file that runs the other."""
    step = Step(nn.Sequential(nn.Linear(4, 3), nn.GELU()), (torch.ones(5, 4),))
    assert run_from(file, RECORDS, record_step=record_step, step=step) == {line}


def test_a_model_of_an_installed_package_has_its_lines() -> None:
    made = run_from(PACKAGE, MODEL, nn=nn)()
    step = Step(made, (torch.ones(5, 4),))
    found = run_from("/home/me/train.py", RECORDS, record_step=record_step, step=step)
    assert found == {f"{PACKAGE}:3"}
