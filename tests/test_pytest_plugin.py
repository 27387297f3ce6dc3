"""The pytest plugin, seen from a test suite that is not ours."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SUITE = """
import numpy as np
import pytest

@pytest.fixture
def start(parity):
    return parity.given(parity.Case(data="moons", hidden=(5,), activation="tanh", p=0.4))

def step(start, forgotten):
    a1 = np.tanh(start["x"] @ start["W1"].T + start["b1"])
    h1 = a1 * start["mask1"]
    z2 = h1 @ start["W2"].T + start["b2"]
    dz2 = (1 / (1 + np.exp(-z2)) - start["y"]) / len(z2)
    da1 = dz2 @ start["W2"] * (1 if forgotten else start["mask1"])
    return {"z2": z2, "dz2": dz2, "db1": (da1 * (1 - a1**2)).sum(axis=0)}

def test_right(parity, start):
    parity.assert_parity(step(start, forgotten=False), start)

def test_wrong(parity, start):
    parity.assert_parity(step(start, forgotten=True), start)

def test_fails_otherwise():
    assert False
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "test_theirs.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--parity-report", "kept"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    return done.stdout, folder / "kept"


def test_pytests_own_output_says_what_where_why_and_the_remedy(ran: tuple[str, Path]) -> None:
    out, kept = ran
    assert "1 passed" in out
    assert "2 failed" in out
    assert "First wrong: mine's linear_backward_parameters -> db1" in out
    assert "mine is wrong, torch is right" in out
    assert "mask_not_applied_backward" in out
    assert "Right in NumPy: da = dh * mask" in out
    assert "raise ParityError" not in out, "our own frames hide"
    assert str(next(kept.iterdir()).name) in out


def test_the_report_of_a_failing_test_is_kept(ran: tuple[str, Path]) -> None:
    (kept,) = ran[1].iterdir()
    assert kept.name == "test_theirs.py-test_wrong"
    assert "FAIL First wrong" in (kept / "report.txt").read_text("utf-8")
    record = json.loads((kept / "report.json").read_text("utf-8"))
    assert record["passed"] is False
    assert record["causes"]["manual"]["alternatives"][0][0]["name"] == "mask_not_applied_backward"
    events = EventAccumulator(str(kept))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {"difference/db1", "of_bound/mine/db1", "of_bound/torch/db1"} <= tags
    assert events.Scalars("of_bound/mine/db1")[0].value > 1
    assert events.Scalars("of_bound/mine/z2")[0].value <= 1
