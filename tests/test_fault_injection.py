"""A training that is killed at any of its writes ends, resumed, as one that was not killed."""

import multiprocessing
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.runs_made import left
from tests.write_counter import kill_at

STEPS = 5
CASE = ["--data", "moons", "--samples", "30", "--hidden", "3", "--steps", str(STEPS)]
CASE += ["--batch", "8", "--log-every", "2", "--optimizer", "adam", "--p", "0.3", "--lr", "0.02"]


def train(root: Path, args: list[str], kill: int) -> None:
    """In a process of its own, which kills itself at its kill-th write, if that is not 0."""
    from torch_parity.compare.cli import main
    from torch_parity.compare.commands import train as command

    said = os.open(root / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    command.STORE_EVERY = 2
    sys.argv = ["parity", "train", *args, "--runs", str(root)]
    if kill:
        kill_at(kill, root)
    main()


def ended(root: Path, args: list[str], kill: int = 0) -> int | None:
    context = multiprocessing.get_context("forkserver")
    slow = ["torch_parity.compare.commands.train", "torch_parity.compare.commands.resume"]
    context.set_forkserver_preload([*slow, "sklearn.datasets", "torch._dynamo", __name__])
    process = context.Process(target=train, args=(root, args, kill))
    process.start()
    process.join(120)
    return process.exitcode


@pytest.mark.slow
def test_killed_at_every_write(tmp_path: Path) -> None:
    """And killed a second time while it resumes. Before its first checkpoint a run cannot be
    resumed, which is said; it is then trained anew."""
    assert ended(tmp_path, [*CASE, "--name", "whole"]) == 0
    whole = left(tmp_path / "whole")
    n, again, resumed = 0, 0, 0
    while True:
        n += 1
        status = ended(tmp_path, [*CASE, "--name", "a"], kill=n)
        assert status in (0, -9), f"write {n}: {(tmp_path / 'said').read_text()}"
        if status == 0:
            break
        again = again % 40 + 3
        status = ended(tmp_path, ["--resume", "a"], kill=again)
        if status == -9:
            status = ended(tmp_path, ["--resume", "a"])
        said = (tmp_path / "said").read_text()
        if status == 2:
            assert not list((tmp_path / "a").glob("checkpoints/*.json")), f"write {n}: {said}"
        else:
            resumed += 1
            assert status == 0, f"write {n}, then {again}: {said}"
            assert left(tmp_path / "a") == whole, f"write {n}, then {again}"
        shutil.rmtree(tmp_path / "a", ignore_errors=True)
    assert resumed > 20, f"of {n} writes"
