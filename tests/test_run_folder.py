"""A run's folder that cannot be written, is in use, or is deleted: one clear sentence, no
traceback, and never two runs in one log."""

import errno
import multiprocessing
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.command import Ended, parity, refusal
from tests.runs_made import left, points, stop_after
from torch_parity.compare.commands import train
from torch_parity.compare.runs import atomic
from torch_parity.compare.runs.event_file import EventFile
from torch_parity.compare.runs.lock import RunLock
from torch_parity.compare.show.dashboard import Dashboard

CASE = ["--data", "moons", "--samples", "40", "--hidden", "3", "--steps", "12", "--log-every", "5"]


def call(root: Path, *args: str) -> Ended:
    return parity("train", *args, "--runs", str(root))


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "STORE_EVERY", 4)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "STORE_EVERY", 4)
        assert call(root, *CASE, "--name", "a").status == 0
    return left(root / "a")


def failing(write: Callable[..., None], count: list[int], number: int) -> Callable[..., None]:
    """The count-th write from now on fails, and so does each one after it."""

    def full(*args: Any) -> None:
        count[0] -= 1
        if count[0] < 0:
            raise OSError(number, os.strerror(number))
        write(*args)

    return full


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
@pytest.mark.parametrize("writes", [0, 1, 2, 3, 4, 10, 19, 34, 55, 57])
def test_a_disk_that_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, Any], writes: int, number: int
) -> None:
    """After that many writes every one fails. When there is space again, the run can be resumed."""
    count = [writes]
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write", failing(atomic.write, count, number))
        patch.setattr(EventFile, "add_event", failing(EventFile.add_event, count, number))
        result = call(tmp_path, *CASE, "--name", "a")
    assert count[0] < 0, "every write went through"
    said = refusal(result, after_output=True)
    assert f"{tmp_path / 'a'} cannot be written: {os.strerror(number)}" in said
    assert "PASS" not in result.out
    if not list((tmp_path / "a").glob("checkpoints/*.json")):
        return
    assert f"parity train --resume a --runs {tmp_path}" in said
    assert call(tmp_path, "--resume", "a").status == 0
    assert left(tmp_path / "a") == whole


def test_a_log_that_is_full_when_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = Dashboard.close

    def full(self: Dashboard) -> None:
        close(self)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Dashboard, "close", full)
    assert "No space left" in refusal(call(tmp_path, *CASE, "--name", "a"), after_output=True)


def test_a_root_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "give --runs" in refusal(call(tmp_path / "file/runs", *CASE))


def _hold(folder: Path, held: Any, done: Any) -> None:
    with RunLock(folder):
        held.set()
        done.wait(60)


def test_two_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that another process trains is not resumed; one that was killed holds no lock."""
    with monkeypatch.context() as patch:
        stop_after(5, patch)
        assert call(tmp_path, *CASE, "--name", "a").status == 130
    before = points(tmp_path / "a")
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "a", held, done))
    other.start()
    assert held.wait(60)
    said = refusal(call(tmp_path, "--resume", "a"))
    assert "run 'a' is being trained by another process" in said
    assert points(tmp_path / "a") == before
    other.kill()
    other.join()
    assert call(tmp_path, "--resume", "a").status == 0


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    assert call(tmp_path, *CASE, "--name", "a").status == 0
    before = left(tmp_path / "a")
    said = refusal(call(tmp_path, *CASE, "--name", "a"))
    assert "run 'a' exists" in said
    assert left(tmp_path / "a") == before
    assert call(tmp_path, *CASE).status == call(tmp_path, *CASE).status == 0
    assert {p.name for p in tmp_path.iterdir()} == {"a", "moons", "moons-2"}
    removing = shlex.split(said.partition("delete it with  parity ")[2])
    assert parity(*removing).status == 0
    assert {p.name for p in tmp_path.iterdir()} == {"moons", "moons-2"}
    (tmp_path / "photos").mkdir()
    said = refusal(call(tmp_path, *CASE, "--name", "photos"))
    assert said.rstrip().endswith("or delete it"), "parity runs removes nothing else"


@pytest.mark.parametrize("again", [False, True], ids=["deleted", "replaced by another run"])
@pytest.mark.parametrize("step", [1, 4, 7, 12])
def test_a_folder_that_vanishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, again: bool
) -> None:
    """Nothing is written into the new folder of the same name."""
    write = Dashboard.write
    folder = tmp_path / "a"

    def write_then_vanish(self: Dashboard, record: Any) -> None:
        write(self, record)
        if record.step == step:
            shutil.rmtree(folder)
            if again:
                folder.mkdir()
                (folder / "lock").write_text("")

    monkeypatch.setattr(Dashboard, "write", write_then_vanish)
    said = refusal(call(tmp_path, *CASE, "--name", "a"), after_output=True)
    assert f"{folder} was deleted or replaced during" in said
    assert [p.name for p in folder.rglob("*")] == (["lock"] if again else [])
