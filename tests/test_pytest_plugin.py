"""The pytest plugin, seen from a test suite that is not ours."""

import json
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from torch_parity.compare.pytest_plugin import Parity
from torch_parity.compare.runs.answers import answer
from torch_parity.compare.show.html import page
from torch_parity.compare.show.page import of

SUITE = """
import numpy as np
import pytest
import torch

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

def test_arrays(parity, start):
    assert parity.arrays(step(start, forgotten=False), start).passed

def test_arrays_that_are_wrong(parity, start):
    parity.arrays(step(start, forgotten=True), start)

def test_expects_a_failure(parity, start):
    with pytest.raises(AssertionError):
        parity.arrays(step(start, forgotten=True), start)

class TestModels:
    x = torch.ones(4, 3)

    def test_modules(self, parity):
        a, b = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
        b.load_state_dict(a.state_dict())
        parity.modules(a, b, self.x)
        parity.model(a, self.x)

    def test_module(self, parity):
        layer = torch.nn.Linear(3, 2)
        parity.module(layer, {"output": layer(self.x).detach().numpy()}, self.x)

    def test_modules_that_differ(self, parity):
        a, b = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
        parity.modules(a, b, self.x)

    def test_modules_with_another_form(self, parity):
        torch.manual_seed(0)
        a, b = (torch.nn.Sequential(torch.nn.GELU(form)) for form in ("none", "tanh"))
        parity.modules(a, b, torch.randn(4, 3))

    def test_bad_input(self, parity, start):
        parity.arrays({}, start)

    def test_not_judged(self, parity):
        assert parity.model(torch.linalg.svdvals, self.x).outcome == "UNJUDGED"
"""

INI = """
[pytest]
parity_report = kept
parity_strict = false
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "test_theirs.py").write_text(SUITE)
    (folder / "pytest.ini").write_text(INI)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junit-xml", "junit.xml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    return done.stdout, folder / "kept"


def test_pytests_own_output_says_what_where_why_and_the_remedy(ran: tuple[str, Path]) -> None:
    out, kept = ran
    assert "6 passed" in out
    assert "6 failed" in out
    assert "First wrong: mine's linear_backward_parameters -> db1" in out
    assert "mine is wrong, torch is right" in out
    assert "mask_not_applied_backward" in out
    assert "Right in NumPy: da = dh * mask" in out
    assert "raise ParityError" not in out, "our own frames hide"
    assert next(kept.glob("*test_wrong*")).name in out


def test_what_was_not_judged_is_a_warning_where_the_ini_file_says_so(ran: tuple[str, Path]) -> None:
    out, _ = ran
    assert "ParityUnjudgedWarning: UNJUDGED" in out


def test_the_summary_has_every_comparison_what_is_wrong_first(ran: tuple[str, Path]) -> None:
    out, kept = ran
    assert "summary.md" in out
    head, _, *table = (kept / "summary.md").read_text("utf-8").split("\n\n")
    assert head == "## Parity"
    assert "4 FAIL, 1 ERROR, 1 UNJUDGED, 5 PASS." in (kept / "summary.md").read_text("utf-8")
    rows = [row for row in table[0].splitlines() if "test_theirs.py" in row]
    assert ["FAIL" in row for row in rows] == [True] * 4 + [False] * 7
    assert "mask_not_applied_backward" in rows[0]
    assert "test_bad_input" in rows[4]
    assert "test_expects_a_failure" not in table[0]  # pytest sees no failure


def test_the_summary_says_where_two_modules_part_and_why(ran: tuple[str, Path]) -> None:
    table = (ran[1] / "summary.md").read_text("utf-8").splitlines()
    (row,) = (row for row in table if "test_modules_with_another_form" in row)
    (kept,) = ran[1].glob("*another_form-*")
    wrong = json.loads((kept / "report.json").read_text("utf-8"))
    (result,) = wrong["results"]
    assert f"{result['name']} at {result['index']}" in row
    assert f"{result['a']:.9g}" in row
    assert f"{result['b']:.9g}" in row
    assert f"allowed {result['bound']:.2g}" in row
    assert "b's gelu (0, forward, " in row
    assert wrong["explanations"][0].replace("<", "&lt;") in row


def test_a_failure_of_modules_becomes_a_page(ran: tuple[str, Path]) -> None:
    kept = [f for f in ran[1].iterdir() if (f / "report.json").is_file()]
    assert len(kept) == 4
    assert {answer(folder).status for folder in kept} == {"FAIL"}
    (folder,) = ran[1].glob("*another_form-*")
    about = of(folder)
    assert about.status == "FAIL"
    assert about.tables[0].rows[0][:2] == ("output", "wrong")
    assert "a takes" in page(folder) or "b takes" in page(folder)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("parity_strict = fals", "expected true, yes, on or 1, or false, no, off or 0"),
        ('parity_report = "reports"', "without them: parity_report = reports"),
    ],
)
def test_an_ini_file_that_cannot_mean_what_it_says(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "pytest.ini").write_text(f"[pytest]\n{line}\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    (told,) = done.stderr.split("\n\n", 1)[0].strip().splitlines()
    assert "Traceback" not in done.stderr
    assert said in told
    assert [file.name for file in tmp_path.iterdir()] == ["pytest.ini"]


def test_junit_has_the_verdicts(ran: tuple[str, Path]) -> None:
    cases = ElementTree.parse(ran[1].parent / "junit.xml").iter("testcase")
    said = {case.get("name"): [p.get("value", "") for p in case.iter("property")] for case in cases}
    assert [v.partition(" ")[0] for v in said["test_right"]] == ["PASS"]
    assert said["test_wrong"][0].startswith("FAIL")
    assert [v.partition(" ")[0] for v in said["test_modules"]] == ["PASS", "PASS"]
    assert said["test_fails_otherwise"] == []


def test_the_report_of_a_failing_test_is_kept(ran: tuple[str, Path]) -> None:
    (kept,) = ran[1].glob("*test_wrong-*")
    assert kept.name.startswith("test_theirs.py-test_wrong-")
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


@pytest.mark.parametrize("strict", [True, False])
def test_unjudged_fails_unless_the_ini_file_says_otherwise(strict: bool) -> None:
    unjudged = SimpleNamespace(
        outcome="UNJUDGED",
        require=lambda strict: pytest.fail("it was required") if strict else None,
        short="UNJUDGED",
    )
    hooks = SimpleNamespace(
        pytest_warning_recorded=SimpleNamespace(call_historic=lambda kwargs: None)
    )
    node = SimpleNamespace(
        config=SimpleNamespace(getini=lambda name: {"parity_strict": strict}[name]),
        user_properties=[],
        location=("test_theirs.py", 1, "test"),
        nodeid="test_theirs.py::test",
        ihook=hooks,
    )
    fixture: Any = Parity(node)  # type: ignore[arg-type]
    if strict:
        with pytest.raises(pytest.fail.Exception):
            fixture._required(unjudged)
    else:
        assert fixture._required(unjudged) is unjudged
        assert node.user_properties == [("parity", "UNJUDGED")]
    with pytest.raises(pytest.fail.Exception):
        fixture._required(unjudged, strict=True)


FAILING = """
import pytest
from torch_parity.compare.errors import ParityError

@pytest.fixture(scope="module")
def failure():
    import torch_parity as parity
    start = parity.given(parity.Case(data="moons", samples=20, hidden=(2,), activation="tanh"))
    with pytest.raises(ParityError) as caught:
        parity.assert_parity({"z1": 2 * (start["x"] @ start["W1"].T)}, start)
    return caught.value

@pytest.fixture
def broken_afterwards(failure):
    yield
    raise failure

NAMES = ["a/b", "a-b", "x" * 300, "\\u5b57" * 90]

@pytest.mark.parametrize("name", NAMES)
def test_names(failure, name):
    raise failure

def test_phases(failure, broken_afterwards):
    raise failure

def test_elsewhere(failure, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raise failure

def test_right():
    pass
"""
FAILED = 6  # of them; one of these fails in teardown as well


class Seen:
    """What a session of pytest reported."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.passed: list[str] = []
        self.warnings: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(f"{report.nodeid} {report.when}")
        elif report.when == "call":
            self.passed.append(report.nodeid)

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        self.warnings.append(str(warning_message.message))


def session(folder: Path, patch: pytest.MonkeyPatch, *args: str) -> tuple[int, Seen]:
    """A session in this process, of the tests in FAILING."""
    (folder / "test_failing.py").write_text(FAILING)
    (folder / "pytest.ini").write_text("[pytest]\n")
    patch.chdir(folder)
    patch.delenv("PYTEST_XDIST_WORKER", raising=False)
    seen = Seen()
    quiet = ["-p", "no:cacheprovider", "-p", "no:terminal", "--capture=no", "-W", "error"]
    quiet.append("--import-mode=importlib")  # the same name in another folder
    status = pytest.main([*quiet, *args], plugins=[seen])
    return int(status), seen


def test_each_failure_keeps_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids that differ in one odd character, ids longer than a file name, setup and teardown."""
    status, seen = session(tmp_path, monkeypatch, "--parity-report", "kept")
    assert (status, len(seen.failed), len(seen.passed)) == (1, FAILED + 1, 1)
    assert seen.warnings == []
    kept = list((tmp_path / "kept").iterdir())
    assert len(kept) == FAILED + 1
    assert all((folder / "report.json").is_file() for folder in kept)


def test_a_report_that_cannot_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every test runs and keeps its own outcome, also where warnings are errors."""
    (tmp_path / "afile").write_text("mine")
    status, seen = session(tmp_path, monkeypatch, "--parity-report", "afile/x")
    assert (status, len(seen.failed), len(seen.passed)) == (1, FAILED + 1, 1)
    assert len(seen.warnings) == FAILED + 1
    assert all("was not written" in said for said in seen.warnings)


@pytest.mark.slow
def test_with_several_workers(tmp_path: Path) -> None:
    (tmp_path / "test_failing.py").write_text(FAILING)
    (tmp_path / "afile").write_text("mine")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "2"]
    done = subprocess.run(
        [*command, "--parity-report", "afile/x"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "INTERNALERROR" not in done.stdout + done.stderr
    assert f"{FAILED} failed, 1 passed" in done.stdout
    assert "ParityReportWarning" in done.stdout
