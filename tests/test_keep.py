"""keep=: tensors on disk instead of memory, with the same verdicts, and nothing left behind."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import torch_parity as tp
from benchmarks import memory
from tests.command import Ended, refusal
from tests.test_model_traces import NETS, Net, X, judged, step, told, zoo_step
from torch_parity.compare.aten.check import check_step
from torch_parity.compare.errors import InputError

SEED = 3


@pytest.mark.parametrize(
    "name", ["lstm", "gpt_dropout", "checkpointed", "in_place", "hooks", "vae"]
)
@pytest.mark.every(2)
def test_the_verdicts_are_those_of_tensors_in_memory(name: str, tmp_path: Path) -> None:
    reports = []
    for keep in (None, tmp_path):
        torch.manual_seed(SEED)
        reports.append(check_step(replace(zoo_step(name), keep=keep)))
    assert judged(reports[0]) == judged(reports[1]), (name, SEED)
    assert os.listdir(tmp_path) == []


def test_two_models_are_compared_on_disk(tmp_path: Path) -> None:
    live = tp.check_modules(Net("none"), Net("tanh"), X, **step())
    kept = tp.check_modules(Net("none"), Net("tanh"), X, keep=tmp_path, **step())
    assert told(kept) == told(live)
    assert os.listdir(tmp_path) == []
    one, other = (
        tp.record_model(Net("none"), X, keep=keep, **step()).save(tmp_path / f"{keep is None}")
        for keep in (None, tmp_path)
    )
    assert one.read_bytes() == other.read_bytes()


def test_nothing_is_left_after_an_exception(tmp_path: Path) -> None:
    def fails(x: Tensor) -> Tensor:
        raise KeyError(str(x.exp().sum()))

    with pytest.raises(InputError, match="KeyError"):
        tp.check_model(fails, X, keep=tmp_path)
    assert os.listdir(tmp_path) == []
    with pytest.raises(InputError, match="keep: "):
        tp.check_model(nn.Linear(4, 2), X, keep=tmp_path / "none")


def test_memory_that_is_used_again_holds_another_tensor(tmp_path: Path) -> None:
    """Tensors are freed while the step is recorded, and the next ones get their addresses."""

    def model(x: Tensor) -> Tensor:
        total = torch.zeros(())
        for i in range(200):
            total = total + (x * i).exp().clamp(max=9).sum()
        return total

    report = tp.check_model(model, X, keep=tmp_path)
    assert (report.outcome, report.calls) == ("PASS", 1001)


def test_the_commands_keep(tmp_path: Path, parity: Callable[..., Ended]) -> None:
    (tmp_path / "nets.py").write_text(NETS, "utf-8")
    place, folder = f"{tmp_path}/nets.py:exact", tmp_path / "kept"
    folder.mkdir()
    assert parity("model", place, "--keep", str(folder)).status == 0
    assert parity("modules", place, f"{place}", "--keep", str(folder)).status == 0
    out = str(tmp_path / "t.safetensors")
    assert parity("record", "--module", place, "--out", out, "--keep", str(folder)).status == 0
    assert os.listdir(folder) == []
    assert "keep" in refusal(parity("model", place, "--keep", str(tmp_path / "none")))


def test_a_share_of_the_modules_is_no_pass(tmp_path: Path, parity: Callable[..., Ended]) -> None:
    whole = tp.check_model(Net("none"), X, **step())
    part = tp.check_model(Net("none"), X, only=["norm", "o*t"], **step())
    judged = [v for v in part.verdicts if v.outcome == "right"]
    assert {v.call.module for v in judged} == {"norm", "out"}
    assert (whole.outcome, part.outcome) == ("PASS", "UNJUDGED")
    assert (part.calls, part.judged) == (whole.calls, len({v.call.index for v in judged}))
    assert part.unjudged[0].reason == "its module was left out"
    with pytest.raises(InputError, match="only: 'nrm' fits no module that made a call; did you"):
        tp.check_model(Net("none"), X, only=["nrm"], **step())
    (tmp_path / "nets.py").write_text(NETS, "utf-8")
    assert parity("model", f"{tmp_path}/nets.py:exact", "--only", "1").status == 3


def test_a_mistake_in_a_chosen_module_fails() -> None:
    class Tripled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:  # type: ignore[override]
            return g * 3

    class Own(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = Tripled.apply(x)  # type: ignore[no-untyped-call]
            return out

    net = nn.Sequential(nn.Linear(4, 2), Own())
    outcomes = [tp.check_model(net, X, only=[o], **step()).outcome for o in ("0", "1")]
    assert outcomes == ["UNJUDGED", "FAIL"]


@pytest.mark.slow
def test_a_step_of_ten_times_the_memory_is_judged(tmp_path: Path) -> None:
    budget = 24
    found = memory.child(budget, str(tmp_path), "check_model")
    assert found["verdict"] == "PASS"
    assert float(found["trace_mb"]) > 9 * budget
    assert float(found["peak_mb"]) < budget, found
