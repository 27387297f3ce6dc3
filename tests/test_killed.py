"""`parity train` killed with SIGKILL at random moments ends, once it is gone on with, as if it had
not been.

The processes are real ones. Most are forked from a server that has imported torch already.
"""

import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path

import numpy as np
import pytest

from tests.runs_made import left

KILLS = 7  # of each case
SEED = int(np.random.SeedSequence().entropy) % 2**32
BASE = ["--samples", "60", "--batch", "16", "--log-every", "7", "--p", "0.3", "--l1", "0.1"]
CASES = [
    ["--data", "moons", "--hidden", "5,4", "--optimizer", "adam", "--lr", "0.02"],
    ["--data", "circles", "--hidden", "6", "--optimizer", "momentum_course", "--gradcheck", "9"],
    ["--data", "moons", "--hidden", "4,3", "--optimizer", "momentum", "--dtype", "float32"],
]


def work(args: list[str], out: Path) -> None:
    """The command in a new process, with its output in a file."""
    said = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.argv = ["parity", *args]
    from torch_parity.compare.cli import main
    from torch_parity.compare.commands import train

    train.STORE_EVERY = 3
    os.fsync = lambda fd: None  # a killed process leaves the system's cache as it is
    main()


class Process:
    """A running `parity train ...`, from the moment that it has printed its case."""

    def __init__(self, server: ForkServerContext, args: list[str], folder: Path) -> None:
        self.out = folder / "said"
        self.out.unlink(missing_ok=True)
        self._process = server.Process(target=work, args=(["train", *args], self.out))
        self._process.start()
        while self._process.is_alive() and not (self.out.exists() and self.out.stat().st_size):
            time.sleep(0.002)
        self.began = time.monotonic()

    def kill(self, after: float) -> bool:
        """Whether it was still running when the signal came."""
        self._process.join(after)
        self._process.kill()
        self._process.join()
        return self._process.exitcode == -9

    def ended(self) -> tuple[int | None, str, float]:
        """The exit status, the output, and the seconds of training."""
        self._process.join(120)
        return self._process.exitcode, self.out.read_text(), time.monotonic() - self.began


@pytest.fixture(scope="module")
def server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    slow = [
        "torch_parity.compare.commands.train",
        "torch_parity.compare.commands.resume",
        "sklearn.datasets",
    ]
    context.set_forkserver_preload([*slow, "torch._dynamo", __name__])
    return context


@pytest.mark.parametrize("chosen", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in (1, 2))])
@pytest.mark.slow
def test_killed_at_random_moments(server: ForkServerContext, tmp_path: Path, chosen: int) -> None:
    """Killed and gone on with, again and again, until it was killed KILLS times and has got to its
    end; each time that it does, it is held to a run that nobody killed."""
    rng = np.random.default_rng([SEED, chosen])
    case = [*CASES[chosen], *BASE, "--steps", "24", "--runs", str(tmp_path), "--name"]
    status, said, seconds = Process(server, [*case, "whole"], tmp_path).ended()
    assert status == 0, said
    expected = left(tmp_path / "whole")
    run, killed, finished = tmp_path / "a", 0, 0
    while killed < KILLS or not finished:
        if list(run.glob("checkpoints/*.json")):
            args = ["--resume", "a", "--runs", str(tmp_path)]
        else:  # killed before there was anything to go on with
            shutil.rmtree(run, ignore_errors=True)
            args = [*case, "a"]
        process = Process(server, args, tmp_path)
        if killed < KILLS and process.kill(float(rng.uniform(0, seconds))):
            killed += 1
        else:
            status, said, _ = process.ended()
            assert status == 0, f"seed {SEED}, case {chosen}, after {killed} kills: {said}"
        if (run / "summary.json").exists():
            assert left(run) == expected, f"seed {SEED}, case {chosen}, after {killed} kills"
            finished += 1
            shutil.rmtree(run)


@pytest.mark.slow
def test_the_installed_command(tmp_path: Path) -> None:
    """Killed after its first checkpoint; then --resume ends like a run in this process."""
    command = [str(Path(sys.executable).with_name("parity")), "train"]
    case = [*CASES[0], *BASE, "--steps", "320", "--name", "a"]
    process = subprocess.Popen(
        [*command, *case], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    first = tmp_path / "runs/a/checkpoints/000000100.json"
    while not first.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "runs/a/summary.json").exists()
    ended = subprocess.run(
        [*command, "--resume", "a"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert "resuming after step" in ended.stdout
    told = ended.stderr.splitlines()  # a slow machine says how far it is
    assert all(line.startswith("training both sides: ") for line in told), told
    from tests.command import parity

    runs = tmp_path / "whole"
    result = parity("train", *case, "--runs", str(runs))
    assert result.status == 0, result.out
    assert left(tmp_path / "runs/a") == left(runs / "a")
