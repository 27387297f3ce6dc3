"""NaN and infinity: the first operation that made them, its side, and the size of its inputs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.command import Ended, parity
from tests.golden_text import Golden
from tests.golden_text import verdict as verdict_of
from tests.runs_made import points
from tests.test_replay import recorded
from torch_parity.compare import data
from torch_parity.compare.case import Case
from torch_parity.compare.judge.judge import judge
from torch_parity.compare.runs.training import StepRecord, Training
from torch_parity.compare.sources import pair
from torch_parity.compare.sources.sides import ManualSide, TorchSide

CASE = ["--data", "moons", "--samples", "60", "--hidden", "5,4", "--steps", "30", "--name", "a"]


def train(root: Path, *args: str) -> Ended:
    return parity("train", *CASE, *args, "--runs", str(root))


def last_record(**options: Any) -> StepRecord:
    """The record of the step that ended this training."""
    options = {"data": "moons", "samples": 60, "hidden": (5, 4), "steps": 30} | options
    case = Case(**options)
    loaded = data.load(case)
    *_, record = Training(case, loaded, pair.build(case, loaded))
    return record


@pytest.mark.every(3)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["manual", "torch"])
@pytest.mark.parametrize("name", ["z2", "a1", "loss", "da3", "dW2_loss", "db1", "vW2", "W1"])
def test_one_side_made_it_of_good_inputs(name: str, side: str, bad: float, dtype: str) -> None:
    """The inputs of the operation give a finite number, so that side is wrong."""
    _, nodes, start, by_hand, by_torch = recorded(dtype)
    traces = {"manual": by_hand, "torch": by_torch}
    broken = traces[side][name].copy()
    index = tuple(n - 1 for n in broken.shape)
    right = float(broken[index])
    broken[index] = bad
    traces[side] = traces[side] | {name: broken}
    verdict = judge(nodes, start, traces["manual"], traces["torch"])
    other = "torch" if side == "manual" else "manual"
    assert not verdict.finite
    assert (verdict.root.side, verdict.root.found.name) == (side, name)
    found = verdict.root.found
    assert (found.outcome, found.index) == ("not finite", index)
    np.testing.assert_equal(found.came, bad)
    assert found.expected == pytest.approx(right, rel=1e-5)
    assert name in verdict.wrong[side]
    assert not verdict.wrong[other]


def test_how_large_its_inputs_are() -> None:
    _, nodes, start, by_hand, by_torch = recorded("float64")
    h1, z2 = by_torch["h1"], by_torch["z2"].copy()
    z2[1, 2] = np.nan
    verdict = judge(nodes, start, by_hand, by_torch | {"z2": z2})
    expected = {"h1": abs(h1).max(), "W2": abs(start["W2"]).max(), "b2": abs(start["b2"]).max()}
    assert verdict.root.reach == expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["mse_loss", "cross_entropy"])
def test_both_diverge_together(tmp_path: Path, dtype: str, loss: str, golden: Golden) -> None:
    """With too large an lr both sides agree, so neither is wrong, but the run fails."""
    result = train(tmp_path, "--lr", "1e30", "--loss", loss, "--p", "0", "--dtype", dtype)
    assert result.status == 1
    golden.section("not-finite", verdict_of(result.out))
    summary = json.loads((tmp_path / "a/summary.json").read_text())
    assert (summary["passed"], summary["interrupted"]) == (False, False)
    assert summary["steps"] < summary["planned"] == 30
    again = parity("train", "--resume", "a", "--runs", str(tmp_path))
    assert again.status == 1


@pytest.mark.parametrize("side", ["manual", "torch"])
def test_training_stops_where_one_side_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: str, golden: Golden
) -> None:
    """torch, or the manual side, makes infinity in the judged step 7."""
    of: Any = TorchSide if side == "torch" else ManualSide
    step, calls = of.step, []

    def broken(self: Any, *args: Any) -> Any:
        made = step(self, *args)
        trace = made[0] if side == "torch" else made
        calls.append(1)
        # The manual side takes a step three times: judged, free, and as the perturbed copy.
        if len(calls) == (7 if side == "torch" else 6 * 3 + 1):
            trace["z2"][3, 1] = np.inf
        return made

    monkeypatch.setattr(of, "step", broken)
    result = train(tmp_path)
    assert result.status == 1
    golden.section("not-finite", verdict_of(result.out))
    summary = json.loads((tmp_path / "a/summary.json").read_text())
    assert (summary["steps"], summary["failure"]["step"]) == (7, 7)


FREE = {"manual": 1, "the perturbed copy": 2}  # which of the three steps by hand


def spoiled(monkeypatch: pytest.MonkeyPatch, who: str, at: int, name: str, bad: float) -> None:
    """In step `at` a free-running copy makes this of right inputs; the judged step is unchanged."""
    step, calls = ManualSide.step, []

    def broken(self: Any, *args: Any) -> Any:
        made = step(self, *args)
        calls.append(1)
        if len(calls) == 3 * (at - 1) + FREE[who] + 1:
            made[name] = made[name].copy()
            made[name][tuple(n - 1 for n in made[name].shape)] = bad
        return made

    monkeypatch.setattr(ManualSide, "step", broken)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["z2", "loss", "db1", "vW2", "W3"])
@pytest.mark.parametrize("who", FREE)
@pytest.mark.every(3)
def test_training_stops_where_one_that_runs_free_breaks(
    monkeypatch: pytest.MonkeyPatch, who: str, name: str, bad: float
) -> None:
    """The judged steps do not show it: they start from torch's state."""
    spoiled(monkeypatch, who, 7, name, bad)
    record = last_record()
    assert (record.step, record.passed, record.judgement.passed) == (7, False, True)
    assert list(record.lost) == [who]
    found = record.lost[who].found
    assert (found.name, found.outcome) == (name, "not finite")
    np.testing.assert_equal(found.came, bad)
    assert np.isfinite(found.expected)


@pytest.mark.parametrize("who", FREE)
def test_the_report_of_one_that_runs_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str, golden: Golden
) -> None:
    spoiled(monkeypatch, who, 7, "z2", np.nan)
    result = train(tmp_path)
    assert result.status == 1, result.out
    golden.section("not-finite", verdict_of(result.out))
    summary = json.loads((tmp_path / "a/summary.json").read_text())
    assert (summary["passed"], summary["steps"], summary["planned"]) == (False, 7, 30)


@pytest.mark.parametrize("who", FREE)
def test_numbers_that_grow_too_large_without_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str, golden: Golden
) -> None:
    """W1 of a free-running copy has become so large that its next product overflows."""
    spoiled(monkeypatch, who, 6, "W1", 1e38)
    plain = ["--dtype", "float32", "--activation", "relu", "--loss", "mse_loss"]
    result = train(tmp_path, *plain, "--output", "identity", "--p", "0", "--l2", "0")
    assert result.status == 1, result.out
    golden.section("not-finite", verdict_of(result.out))
    summary = json.loads((tmp_path / "a/summary.json").read_text())
    assert (summary["passed"], summary["steps"], summary["failure"]["step"]) == (False, 7, 7)


@pytest.mark.parametrize("as_json", [False, True])
def test_check_does_not_pass_where_one_that_runs_free_breaks(
    monkeypatch: pytest.MonkeyPatch, as_json: bool, golden: Golden
) -> None:
    spoiled(monkeypatch, "manual", 2, "W2", np.nan)
    args = [*CASE[:-2], "--steps", "3", *(["--json"] if as_json else [])]
    result = parity("check", *args)
    assert result.status == 1, result.out
    if as_json:
        assert json.loads(result.out)["passed"] is False
    else:
        golden.section("not-finite", verdict_of(result.out))


def test_an_evaluation_that_overflows_draws_no_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On all samples numbers may be larger than in any batch; the steps themselves are right."""
    evaluate = TorchSide.evaluate

    def overflowing(self: TorchSide, x: np.ndarray, y: np.ndarray) -> Any:
        return float("nan"), evaluate(self, x, y)[1]

    monkeypatch.setattr(TorchSide, "evaluate", overflowing)
    assert train(tmp_path, "--steps", "3").status == 0
    tags = {tag for _, tag, _ in points(tmp_path / "a")["torch"]}
    assert "loss/batch" in tags
    assert not {"loss/train", "loss/dev"} & tags
    assert {"accuracy/train", "accuracy/dev"} <= tags


def test_a_training_in_micro_batches_with_dropout_that_diverges() -> None:
    """The first micro-batch is not finite; the masks of the others are drawn all the same."""
    small = ("--data", "moons", "--hidden", "5", "--activation", "identity", "--loss", "mse_loss")
    far = ("--accumulate", "3", "--p", "0.3", "--optimizer", "sgd", "--lr", "1e160")
    ended = parity("check", *small, *far, "--steps", "5")
    assert ended.status == 1
    assert "training diverged" in ended.out
