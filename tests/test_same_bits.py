"""The same case gives the same bits in each run and each process, and reports the versions."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import threadpoolctl
import torch

from tests.command import parity
from torch_parity.compare import data, threads
from torch_parity.compare.case import Case
from torch_parity.compare.runs.training import Training
from torch_parity.compare.sources import pair

CASE = Case(hidden=(13, 7), steps=25, batch=33, log_every=5, optimizer="adam", l1=0.1, lr=0.01)


def digest() -> str:
    """A digest of every number of every step: inputs, masks, both traces, free-running curves."""
    found = hashlib.sha256()

    def watch(step: int, *tensors: object) -> None:
        for t in tensors:
            for a in t.values() if isinstance(t, dict) else (t,):
                found.update(f"{a.dtype} {a.shape} ".encode() + a.tobytes())

    with threads.limited(1):
        loaded = data.load(CASE)
        for record in Training(CASE, loaded, pair.build(CASE, loaded), watch):
            curves = (
                record.manual,
                record.torch,
                record.perturbed_copy,
                record.drift,
                record.envelope,
            )
            found.update(repr((record.step, curves)).encode())
    return found.hexdigest()


def test_two_processes_give_the_same_traces() -> None:
    """The other process has another hash order and another heap."""
    command = "from tests.test_same_bits import digest; print(digest())"
    root = Path(__file__).parents[1]
    other = subprocess.run(
        [sys.executable, "-c", command], cwd=root, capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == digest()


def test_a_run_says_what_it_was_made_with(tmp_path: Path) -> None:
    args = ["train", "--data", "moons", "--hidden", "3", "--steps", "3", "--threads", "2"]
    result = parity(*args, "--runs", str(tmp_path))
    assert result.status == 0, result.out
    made = json.loads((tmp_path / "moons/summary.json").read_text())["made_with"]
    assert made["python"] == sys.version.split()[0]
    assert (made["numpy"], made["torch"]) == (np.__version__, torch.__version__)
    assert made["torch's threads"] == "2"
    pools = [p for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]
    assert any(f"{p['internal_api']} {p['version']}" in made["numpy's BLAS"] for p in pools), (
        "the one that is loaded"
    )
    assert "2 threads" in made["numpy's BLAS"]
    assert str(Path(sys.prefix)) not in json.dumps(made), "no path of a machine"
    for name, value in made.items():
        assert f"{name} {value}" in result.out.replace("\n", "")
