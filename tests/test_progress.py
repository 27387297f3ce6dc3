"""How far a command is, on standard error, and what --quiet and --json leave on standard output."""

import json
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import parity
from torch_parity.compare import data
from torch_parity.compare.case import load
from torch_parity.compare.runs.training import Training
from torch_parity.compare.show import progress
from torch_parity.compare.sources import pair
from torch_parity.lessons.experiment import telling, train

SMALL = {"data": "moons", "samples": "40", "hidden": "3", "steps": "4"}
CASE = [word for name, value in SMALL.items() for word in (f"--{name}", value)]
LINE = re.compile(r"(training both sides|judging): (\d+) of 4, loss (\S+)")


@pytest.fixture
def every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each step, instead of one every few seconds."""
    monkeypatch.setattr(progress, "EVERY", 0)


@pytest.fixture(scope="module")
def losses() -> list[str]:
    """torch's loss in each step."""
    case = load(**SMALL)
    loaded = data.load(case)
    records = Training(case, loaded, pair.build(case, loaded))
    return [f"{record.torch['loss/batch']:.4g}" for record in records]


@pytest.mark.usefixtures("every_line")
class TestWithoutATerminal:
    @pytest.mark.parametrize("command", ["train", "check"])
    def test_each_line_has_step_and_loss(
        self, command: str, losses: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        ended = parity(command, *CASE)
        assert ended.status == 0
        found = [LINE.fullmatch(line) for line in ended.err.splitlines()]
        assert [line and line[2] for line in found] == ["1", "2", "3", "4"]
        assert [line and line[3] for line in found] == losses

    @pytest.mark.parametrize("command", ["train", "check", "gradcheck"])
    def test_quiet_says_the_verdict_and_nothing_else(
        self, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        ended = parity(command, *CASE, "--quiet")
        assert ended.err == ""
        (line,) = ended.out.splitlines()
        assert line.startswith("PASS ")

    def test_quiet_of_a_lesson_leaves_the_conclusion(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        ended = parity("lesson", "forward", "--quiet")
        assert ended.err == ""
        assert ended.out.startswith("- ")


def test_the_trainings_of_a_lesson_tell_their_steps(losses: list[str]) -> None:
    told: list[tuple[str, int, int | None, str]] = []
    with telling(lambda *step: told.append(step)):
        train(load(**SMALL))
    train(load(**SMALL))  # outside nobody is told
    expected = [f"loss {loss}" for loss in losses]
    assert told == [("training both sides", n, 4, loss) for n, loss in enumerate(expected, 1)]


def test_a_short_command_shows_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first comes after some seconds."""
    monkeypatch.chdir(tmp_path)
    assert parity("train", *CASE).err == ""


class TestJson:
    def test_train_prints_its_summary_and_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        ended = parity("train", *CASE, "--name", "a", "--json")
        said = json.loads(ended.out)
        assert said.pop("folder") == "runs/a"
        assert said == json.loads(Path("runs/a/summary.json").read_text("utf-8"))
        assert (said["outcome"], said["steps"]) == ("PASS", 4)
        again = parity("train", "--resume", "a", "--json")
        assert (again.status, again.out) == (0, ended.out)

    def test_a_fail_is_json_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        diverging = ("--loss", "mse_loss", "--output", "identity", "--p", "0", "--lr", "1e200")
        ended = parity("train", *CASE, *diverging, "--json")
        assert ended.status == 1
        assert json.loads(ended.out)["outcome"] == "FAIL"


def test_a_bar_on_a_terminal() -> None:
    """In a process of its own, whose standard error is one."""
    script = (
        "import time\n"
        "from torch_parity.compare.show.progress import progress\n"
        "with progress() as tell:\n"
        "    tell('training', 7, 9, 'loss 0.25')\n"
        "    time.sleep(0.3)\n"
    )
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([sys.executable, "-c", script], stderr=follower, env=environment)
    os.close(follower)
    seen = b""
    while select.select([leader], [], [], 60)[0]:
        try:
            seen += os.read(leader, 4096)
        except OSError:  # Linux says so at the end
            break
    assert process.wait() == 0
    assert b"7/9" in seen
    assert b"loss 0.25" in seen
