"""Distributed runs: damaged, changed or foreign state is named, and never trained on silently."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.command import parity, refusal
from tests.ranks_forked import run
from tests.write_counter import kill_rank_at
from torch_parity.compare.case import Case
from torch_parity.compare.commands.shard import write_shards
from torch_parity.torch_ref.distributed import job
from torch_parity.torch_ref.distributed.checkpoint import Reader, newest
from torch_parity.torch_ref.distributed.files import FileError, checksum, refuse_links, write_record

STEPS = 6
CASE = {"data": "moons", "samples": 40, "hidden": (3,), "batch": 16, "steps": STEPS, "p": 0.3}


def made(folder: Path) -> Path:
    write_shards(Case(**CASE, optimizer="adam", lr=0.01), (1, 1), folder)  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("ranks") / "written")


@pytest.fixture
def stopped(written: Path, tmp_path: Path) -> Path:
    """A folder with checkpoints after steps 4 and 6, as far as their files go."""
    folder = shutil.copytree(written, tmp_path / "a")
    for step in (4, 6):
        home = folder / f"checkpoints/step-{step}"
        home.mkdir(parents=True)
        for name in ("__0_0.distcp", ".metadata"):
            (home / name).write_bytes(bytes(range(100)))
        seal(home, job.read(folder))
    return folder


def seal(home: Path, of: job.Job) -> None:
    """The record of a checkpoint with all checksums right."""
    files = {path.name: checksum(path) for path in home.iterdir()}
    record = {"step": int(home.name[5:]), "job": asdict(of), "files": files}
    write_record(home.with_name(f"{home.name}.json"), json.loads(json.dumps(record)))


def assert_same_end(a: Path, b: Path) -> None:
    one, other = (load_file(folder / "final.safetensors") for folder in (a, b))
    assert one.keys() == other.keys()
    for name in one:
        assert np.array_equal(one[name], other[name]), name


def flip(path: Path, at: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 4
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


FILES = ("step-6/__0_0.distcp", "step-6/.metadata", "step-6.json")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_a_damaged_checkpoint_is_not_used(
    stopped: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(stopped / "checkpoints" / name)
    found = newest(stopped / "checkpoints", job.read(stopped))
    assert (found.step, found.error) == (4, "")
    (note,) = found.notes
    assert str(stopped / "checkpoints/step-6") in note


def test_if_all_are_damaged_the_run_is_refused(stopped: Path) -> None:
    for step in (4, 6):
        (stopped / f"checkpoints/step-{step}/.metadata").unlink()
    found = newest(stopped / "checkpoints", job.read(stopped))
    assert found.step == 0
    assert "step-4/.metadata" in found.error
    assert "no checkpoint can be used; delete" in found.error


def test_a_checkpoint_of_another_step_is_damaged(stopped: Path) -> None:
    """Folder and record of step 4 in the place of those of step 6."""
    home = stopped / "checkpoints"
    for name in ("step-6.json", "step-4.json"):
        (home / name).rename(home / f"was-{name}")
    (home / "was-step-4.json").rename(home / "step-6.json")
    assert newest(home, job.read(stopped)).error


def test_an_incomplete_first_checkpoint_is_said(stopped: Path) -> None:
    """Killed while the first was written, a run begins again."""
    for step in (4, 6):
        (stopped / f"checkpoints/step-{step}.json").unlink()
    found = newest(stopped / "checkpoints", job.read(stopped))
    assert (found.step, found.error, len(found.notes)) == (0, "", 2)


@pytest.mark.parametrize("change", [{"steps": 9}, {"options": {"lr": 1.0}}, {"seed": 5}])
def test_another_job_is_not_resumed(stopped: Path, change: dict[str, Any]) -> None:
    """Neither an edited job.json, nor one with new checksums."""
    path = stopped / "job.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FileError, match=r"job.json is not the one that parity shard wrote"):
        job.read(stopped)
    assert "job.json" in refusal(parity("ranks", str(stopped)))
    files = [p.name for p in stopped.iterdir() if p.suffix in (".json", ".safetensors")]
    sums = {name: checksum(stopped / name) for name in files}
    write_record(stopped / "checksums.json", sums)
    found = newest(stopped / "checkpoints", job.read(stopped))
    assert f"belongs to another job: {next(iter(change))} is" in found.error


@pytest.mark.parametrize("name", ["shard-1.safetensors", "start.safetensors"])
def test_changed_data_are_refused(stopped: Path, name: str) -> None:
    flip(stopped / name, at=0.9)
    with pytest.raises(FileError, match=f"{name} is not the one that parity shard wrote"):
        job.check(stopped, [name])


@pytest.mark.parametrize("name", ["final.safetensors", "checkpoints/step-8"])
@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_links_are_refused(stopped: Path, name: str, link: Callable[[Path, Path], None]) -> None:
    mine = stopped.with_name("mine")
    mine.write_text("mine")
    link(stopped / name, mine)
    with pytest.raises(FileError, match="is a link"):
        refuse_links(stopped)


class Code:
    """A pickle that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_no_code_in_a_checkpoint_is_run(stopped: Path) -> None:
    """Also where all checksums are right."""
    home = stopped / "checkpoints/step-6"
    (home / ".metadata").write_bytes(pickle.dumps(Code(stopped.with_name("made"))))
    seal(home, job.read(stopped))
    assert newest(home.parent, job.read(stopped)).step == 6
    with pytest.raises(FileError, match="which torch's own never do"):
        Reader(home).read_metadata()
    assert not stopped.with_name("made").exists()


@pytest.mark.slow
def test_two_ranks_use_the_checkpoint_before_a_damaged_one(tmp_path: Path) -> None:
    """It is said; the run ends with the same bits; a foreign folder is left alone. If both are
    damaged, or a shard is, every rank ends."""
    whole = made(tmp_path / "whole")
    assert run(whole, ranks=2) == ([0, 0], "")
    damaged = shutil.copytree(whole, tmp_path / "damaged")
    flip(damaged / "checkpoints/step-6/__1_0.distcp")
    (damaged / "final.safetensors").unlink()
    (damaged / "checkpoints/step-notes").mkdir()
    status, said = run(damaged, ranks=2)
    assert status == [0, 0], said
    assert "step-6/__1_0.distcp is damaged" in said
    assert f"resuming after step 4 of {STEPS}" in said
    assert_same_end(damaged, whole)
    assert (damaged / "checkpoints/step-notes").is_dir()
    for step in (4, 6):
        cut(damaged / f"checkpoints/step-{step}/.metadata")
    (damaged / "final.safetensors").unlink()
    status, said = run(damaged, ranks=2)
    assert status == [2, 2]
    assert "no checkpoint can be used" in said
    assert not (damaged / "final.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_killed_at_every_write(tmp_path: Path, victim: int) -> None:
    """Two ranks, of which one dies at its first write, at its second...; each time the run is
    started again, and ends with the same bits."""
    whole = made(tmp_path / "whole")
    assert run(whole, ranks=2)[0] == [0, 0]
    n, killed = 0, True
    while killed:
        n += 1
        folder = made(tmp_path / f"{n}")
        status, said = run(folder, ranks=2, before=kill_rank_at, args=(victim, n, folder))
        killed = status[victim] == -9
        assert killed or status == [0, 0], f"write {n}: {said}"
        if killed:
            status, said = run(folder, ranks=2)
            assert status == [0, 0], f"write {n}: {said}"
        assert_same_end(folder, whole)
        shutil.rmtree(folder)
    assert n > (20 if victim == 0 else 5)
