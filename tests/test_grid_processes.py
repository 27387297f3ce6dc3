"""A sweep of real processes: killed, interrupted, robbed of a worker, it loses no case and judges
none twice; on a Dask cluster too."""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from torch_parity.compare.case import Case
from torch_parity.compare.cli import main
from torch_parity.compare.commands import grid as command
from torch_parity.compare.errors import InputError
from torch_parity.compare.grid.cluster import cluster
from torch_parity.compare.grid.fingerprint import fingerprint

ROOT = Path(__file__).parents[1]
GRID = """
data = "moons"
samples = 40
batch = 9
hidden = [3]
activation = ["relu", "tanh"]
loss = ["binary_cross_entropy", "mse_loss"]
output = ["sigmoid", "identity"]
"""
SEED = int(np.random.SeedSequence().entropy) % 2**32
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.01)


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def verdicts(path: Path) -> dict[int, str]:
    found = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    by_case = {line["case"]: line["verdict"] for line in found}
    assert len(by_case) == len(found), "a case stands there twice"
    return by_case


def expected(repeats: int) -> dict[int, str]:
    """identity does not fit binary_cross_entropy."""
    return dict(enumerate(["passed", "refused", "passed", "passed"] * 2 * repeats))


def sweep(folder: Path) -> None:
    """In a process of its own, which judges the cases itself: it has torch already."""
    os.chdir(folder)
    os.environ["LOKY_MAX_CPU_COUNT"] = "1"
    said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.argv = ["parity", "check", "--grid", "grid.toml", "--out", "out.jsonl"]
    command.CHUNK = 1
    main()


@pytest.mark.slow
def test_killed_and_interrupted_at_random_moments(tmp_path: Path) -> None:
    """By SIGKILL and by Ctrl-C in turn, until it gets to its end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "torch_parity.compare.grid.outcome", "torch._dynamo"])
    (tmp_path / "grid.toml").write_text(GRID + "repeats = 6")
    out, rng, stops = tmp_path / "out.jsonl", np.random.default_rng(SEED), 0
    while True:
        process = context.Process(target=sweep, args=(tmp_path,))
        process.start()
        before = lines(out)
        if stops < 5:
            wait_for(lambda at=before: lines(out) > at, "a result")  # type: ignore[misc]
            time.sleep(float(rng.uniform(0, 0.3)))
            os.kill(process.pid or 0, signal.SIGINT if stops % 2 else signal.SIGKILL)
        process.join(120)
        said = (tmp_path / "said").read_text()
        if process.exitcode == 0:
            break
        assert process.exitcode == (130 if stops % 2 else -9), f"seed {SEED}: {said}"
        if stops % 2:
            assert "INTERRUPTED after" in said
            assert "resume with  parity check --grid=grid.toml --out=out.jsonl" in said
        stops += 1
    assert verdicts(out) == expected(6), f"seed {SEED}"
    assert "PASS 36 cases" in said
    assert stops


class TestWorkersOfThisMachine:
    """The real thing, two worker processes, each started by a sweep of its own session."""

    @pytest.fixture
    def start(self, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
        (tmp_path / "grid.toml").write_text(GRID + "repeats = 60")
        words = [sys.executable, "-c", "from torch_parity.compare.cli import main; main()"]
        words += ["check", "--grid", "grid.toml", "--out", "out.jsonl"]
        with ExitStack() as stack:

            def run() -> subprocess.Popen[str]:
                program = subprocess.Popen(
                    words,
                    cwd=tmp_path,
                    env=ENVIRONMENT | {"LOKY_MAX_CPU_COUNT": "2"},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                )
                process = stack.enter_context(program)
                stack.callback(process.kill)
                return process

            yield run

    @pytest.mark.slow
    @pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="workers are found in /proc")
    def test_stopped_in_three_ways(
        self, start: Callable[[], subprocess.Popen[str]], tmp_path: Path
    ) -> None:
        process = start()
        wait_for(lambda: len(workers(process.pid)) == 2 and hears(process.pid), "two workers")
        process.kill()
        process.communicate(timeout=60)  # ends once no worker holds the pipes any more

        process = start()
        wait_for(lambda: len(workers(process.pid)) == 2, "the start of two workers")
        os.kill(workers(process.pid)[0], signal.SIGKILL)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "Traceback" not in err
        assert "parity: a worker was killed (out of memory?)" in err
        assert "of 480 cases are judged and kept in out.jsonl; resume with  parity check" in err

        process = start()
        wait_for(lambda: len(workers(process.pid)) == 2 and hears(process.pid), "two workers")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        said, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "INTERRUPTED after" in said
        assert re.fullmatch(
            r".* resume with  parity check --grid=grid\.toml --out=out\.jsonl\n", err
        )
        assert verdicts(tmp_path / "out.jsonl").items() <= expected(60).items()


def workers(pid: int) -> list[int]:
    """The loky workers among a process's children."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        named = {int(c): Path(f"/proc/{c}/cmdline").read_bytes() for c in children}
    except OSError:
        return []
    return [c for c, words in named.items() if b"popen_loky" in words]


def hears(pid: int) -> bool:
    """Whether a process has a handler for Ctrl-C: not before it has started its workers."""
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(caught and int(caught[1], 16) >> (signal.SIGINT - 1) & 1)


@contextmanager
def dask(*words: str, folder: Path, python_path: Path = ROOT) -> Iterator[subprocess.Popen[bytes]]:
    """`dask scheduler` or `dask worker` under way, in a folder where nothing can be imported."""
    program = str(Path(sys.executable).with_name("dask"))
    with (folder / f"{words[0]}.log").open("ab") as log:
        process = subprocess.Popen(
            [program, *words, "--no-dashboard"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(python_path)},
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler of its own, which cannot import torch-parity and need not."""
    pytest.importorskip("distributed")
    shadow = tmp_path / "shadow" / "torch_parity"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch_parity'\")"
    )
    file = tmp_path / "scheduler.json"
    words = ("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
    with dask(*words, folder=tmp_path, python_path=shadow.parent):
        wait_for(lambda: file.exists() and file.stat().st_size > 0, "the scheduler's start")
        yield json.loads(file.read_text())["address"]


class TestCluster:
    def test_a_worker_without_torch_parity(self, scheduler: str, tmp_path: Path) -> None:
        worker = ("worker", scheduler, "--nthreads", "1", "--no-nanny")
        case = Case(data="moons", hidden=(3,))
        with (
            dask(*worker, folder=tmp_path, python_path=tmp_path / "shadow"),
            cluster(scheduler, [[(0, case)]], fingerprint()) as workers,
            pytest.raises(InputError, match=r"a worker has no torch-parity or another version"),
        ):
            next(workers.outcomes)

    @pytest.mark.slow
    def test_a_worker_killed_in_the_middle(
        self,
        scheduler: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """What it had at hand is judged by the other."""
        monkeypatch.chdir(tmp_path)
        Path("grid.toml").write_text(GRID + "repeats = 10")
        out, killed = Path("out.jsonl"), []
        words = ["check", "--grid", "grid.toml", "--cluster", scheduler, "--out", str(out)]
        monkeypatch.setattr(sys, "argv", ["parity", *words])
        worker = ("worker", scheduler, "--nthreads", "1", "--no-nanny")
        with dask(*worker, folder=tmp_path) as first, dask(*worker, folder=tmp_path):

            def kill() -> None:
                wait_for(lambda: lines(out) > 1 + 20, "a result")
                first.kill()
                killed.append(lines(out))

            killer = threading.Thread(target=kill)
            killer.start()
            with pytest.raises(SystemExit, match="0"):
                main()
            killer.join()
        assert killed[0] < 1 + 80, "the sweep was over before"
        assert "PASS 60 cases" in capsys.readouterr().out
        assert verdicts(out) == expected(10)

    def test_every_worker_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The sweep ends and says so; Dask itself would wait for a worker without end."""
        distributed = pytest.importorskip("distributed")
        from torch_parity.compare.grid import cluster as module

        monkeypatch.setattr(module, "ABSENT", 0.4)
        case = Case(data="moons", hidden=(3,))
        threads = {"n_workers": 1, "threads_per_worker": 1, "processes": False}
        with (
            distributed.LocalCluster(**threads, dashboard_address=None) as local,
            cluster(local.scheduler_address, [[(0, case)]], fingerprint()) as workers,
        ):
            local.scale(0)
            wait_for(lambda: not local.scheduler.workers, "the end of the worker")
            with pytest.raises(InputError, match="there has been no worker"):
                next(workers.outcomes)

    def test_nobody_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("distributed")
        from torch_parity.compare.grid import cluster as module

        monkeypatch.setattr(module, "JOINING", 0.2)
        for address in ("tcp://127.0.0.1:1", "nonsense"):
            with (
                pytest.raises(InputError, match=f"--cluster {address}: no Dask scheduler answers"),
                cluster(address, [], fingerprint()),
            ):
                pass

    def test_without_dask(self, monkeypatch: pytest.MonkeyPatch) -> None:

        monkeypatch.setitem(sys.modules, "distributed", None)
        with (
            pytest.raises(InputError, match=r"pip install 'torch-parity\[cluster\]'"),
            cluster("tcp://127.0.0.1:1", [], fingerprint()),
        ):
            pass
