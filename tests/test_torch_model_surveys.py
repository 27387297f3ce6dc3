"""The surveys of benchmarks/torch_models in small."""

import random
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.torch_models import alarms, costs, detection, own_functions, page, referees
from benchmarks.torch_models.results import kept
from benchmarks.zoo import cases

SEED = 8_600_000


@pytest.mark.parametrize("dtype", list(alarms.WANTED), ids=str)
def test_right_models_raise_no_alarm(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "NAMES", ("mlp", "lenet", "graph"))
    found = alarms.survey(dtype, 100, SEED).figures()
    assert found["alarms"] == []
    assert found["outputs"] >= 100
    assert found["greatest use"] <= 0.75
    assert found["distinct calls"] > 50
    assert found["not judged"] == []


@pytest.mark.parametrize("size", detection.SIZES)
def test_one_wrong_entry_is_found_at_its_call(size: str) -> None:
    right = detection.judged("mlp", SEED)
    draw = random.Random(SEED)
    found = [f for _ in range(8) if (f := detection.look("mlp", SEED, size, right, draw))]
    assert len(found) >= 4
    assert [f for f in found if f.elsewhere or not f.flagged] == []
    figures = detection.figures(found)[size]
    assert figures["exactly that call"] == figures["planted"] == len(found)


def test_a_planted_fault_is_gone_afterwards() -> None:
    with detection.planted(detection.Fault(3, 0, 0, 1.0)):
        assert detection.judged("mlp", SEED).outcome == "FAIL"
    assert detection.judged("mlp", SEED).outcome == "PASS"


def test_custom_functions_are_called_right_and_wrong() -> None:
    found = own_functions.survey(1, SEED)
    assert found["right"] == found["wrong"] == len(own_functions.FORMULAS)
    assert (found["alarms"], found["misses"], found["not judged"]) == (0, 0, 0), found["told"]


def test_a_cost_is_measured_in_steps() -> None:
    found = costs.measured(costs.resnet, 0.01, 1)
    assert found["capture"] > 0
    assert found["replay"] > 0
    assert found["judged"] == 1


@pytest.mark.parametrize("model", costs.MODELS)
def test_every_model_of_the_costs_trains(model: costs.Maker) -> None:
    torch.manual_seed(SEED)
    step = model(0.01)
    assert isinstance(step.model, nn.Module)
    costs.plain(step)
    assert all(p.grad is not None for p in step.model.parameters())


def test_four_judges_look_at_the_same_pair() -> None:
    right = referees.judged("silu", SEED, torch.float32, False)
    wrong = referees.judged("gelu_tanh", SEED, torch.float32, True)
    assert right.differs == dict.fromkeys(referees.JUDGES, False) | {
        "numpy.allclose": right.differs["numpy.allclose"]
    }
    assert wrong.differs["ours"]
    rows = referees.figures([right, wrong])["rows"]
    assert rows["false alarms, float32"]["ours"] == [0, 1]
    assert rows["misses, float32"]["ours"] == [0, 1]


def test_the_docs_show_what_was_measured(tmp_path: Path) -> None:
    found = kept()
    text = (page.ROOT / "docs" / "modules.md").read_text("utf-8")
    assert set(page.targets(found)) <= set(text.splitlines())
    assert set(page.judges(found["referees"])) <= set(text.splitlines())
    first = (page.ROOT / "README.md").read_text("utf-8")
    assert "\n".join(page.in_short(found["referees"])) in first
    copy = tmp_path / "page.md"
    copy.write_text("<!-- a b -->\nold\n<!-- -->\nrest\n", "utf-8")
    page.put(copy, "a b", ["new"])
    assert copy.read_text("utf-8") == "<!-- a b -->\nnew\n<!-- -->\nrest\n"
    with pytest.raises(ValueError, match="has no <!-- c -->"):
        page.put(copy, "c", [])
