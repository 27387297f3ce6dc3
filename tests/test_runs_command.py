"""`parity runs`: what it lists, and what it refuses to remove."""

import json
import os
from pathlib import Path

import pytest

from tests.command import parity, refusal
from torch_parity.compare.runs.lock import RunLock

CASE = ["--data", "moons", "--samples", "40", "--hidden", "3", "--log-every", "2"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that passed, one without a summary, a damaged one, and something else."""
    root = tmp_path_factory.mktemp("runs")
    for name in ("whole", "stopped", "damaged"):
        made = parity("train", *CASE, "--steps", "4", "--runs", str(root), "--name", name)
        assert made.status == 0
    (root / "stopped" / "summary.json").unlink()
    (root / "damaged" / "summary.json").write_text("{", "utf-8")
    for age, name in enumerate(("whole", "stopped", "damaged")):
        for file in (root / name).rglob("*"):
            os.utime(file, (1e9 - age, 1e9 - age))
    (root / "photos").mkdir()
    (root / "photos" / "cat.png").write_bytes(b"")
    return root


def test_the_newest_first_with_what_is_known(root: Path) -> None:
    listed = json.loads(parity("runs", "--runs", str(root), "--json").out)
    assert [run["name"] for run in listed] == ["whole", "stopped", "damaged"]
    whole, stopped, damaged = listed
    assert whole["answer"]["status"] == "PASS"
    assert whole["answer"]["steps"] == 4
    assert 0 <= whole["answer"]["score"][1] <= 1
    assert whole["size"] == sum(f.stat().st_size for f in (root / "whole").rglob("*.*"))
    assert stopped["answer"]["status"] == "UNFINISHED"
    assert damaged["answer"] is None
    assert "summary.json" in damaged["damaged"]


@pytest.mark.parametrize("columns", ["60", "80", "120"])
def test_a_narrow_terminal_keeps_the_names(
    root: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    table = parity("runs", "--runs", str(root)).out
    assert all(name in table for name in ("whole", "stopped", "damaged", "UNFINISHED"))
    assert max(map(len, table.splitlines()[:4])) <= int(columns)


def test_an_empty_folder_says_how_to_make_a_run(tmp_path: Path) -> None:
    assert "parity train" in parity("runs", "--runs", str(tmp_path / "none")).out


def test_one_is_removed_and_nothing_else(root: Path) -> None:
    made = parity("train", *CASE, "--steps", "2", "--runs", str(root), "--name", "extra")
    assert made.status == 0
    assert parity("runs", "--runs", str(root), "--remove", "extra").status == 0
    assert sorted(p.name for p in root.iterdir()) == ["damaged", "photos", "stopped", "whole"]


@pytest.mark.parametrize("name", ["photos", "../runs", "nothing", ".", "/"])
def test_what_is_no_run_stays(root: Path, name: str) -> None:
    refusal(parity("runs", "--runs", str(root), "--remove", name))
    assert (root / "photos" / "cat.png").exists()


def test_a_link_stays(root: Path, tmp_path: Path) -> None:
    """What it leads to may be anywhere."""
    (tmp_path / "linked").symlink_to(root / "whole", target_is_directory=True)
    refusal(parity("runs", "--runs", str(tmp_path), "--remove", "linked"))
    assert (root / "whole" / "case.toml").exists()


def test_a_run_in_training_stays(root: Path) -> None:
    with RunLock(root / "whole"):
        assert "another process" in refusal(
            parity("runs", "--runs", str(root), "--remove", "whole")
        )
    assert (root / "whole" / "case.toml").exists()
