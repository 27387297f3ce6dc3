"""What `make bench` times in turn computes the same; its targets are read rightly."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed.nets import NETS, WIDEST, Net, bare, by_hand, in_torch, problem
from benchmarks.speed.targets import Target, lines, targets

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("net", [n for n in NETS if n != WIDEST], ids=lambda n: n.name)
def test_what_is_timed_in_turn_computes_the_same(net: Net) -> None:
    p = problem(net, "float64")
    hand, least, eager = by_hand(p), bare(p), in_torch(p)
    for _ in range(3):
        losses = [float(hand()["loss"]), float(least()), eager().item()]
        assert np.ptp(losses) <= 1e-13 * losses[0], losses


def test_a_missed_target_is_marked() -> None:
    assert lines([Target("step", (0.2, 0.1), (0.15, 0.15))])[-1] == (
        "| step | 0.2 !, 0.1 | 0.15, 0.15 |"
    )
    assert lines([Target("peak", (0.8,), (0.85,), at_least=True)])[-1] == (
        "| peak | 0.8 ! | at least 0.85 |"
    )


def test_the_page_holds_what_was_measured() -> None:
    """Not a number of it is typed in."""
    kept = json.loads((ROOT / "benchmarks/speed/results.json").read_text("utf-8"))
    page = (ROOT / "docs/speed.md").read_text("utf-8")
    assert "\n".join(lines(targets(kept))) in page
    assert kept["machine"].split(";")[0] in page


FAULTS = """
import resource
import numpy as np
from torch_parity.compare import memory

def step():
    arrays = [np.zeros(2**19) + 1 for _ in range(8)]

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = faults()
memory.keep_freed()
step()
print(first, faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc alone is told to")
def test_a_step_gets_the_memory_that_the_last_one_freed() -> None:
    """Every page that the system gives costs a fault: 8192 pages of 4 KB a step here."""
    run = [sys.executable, "-c", FAULTS]
    came = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    returned, kept = map(int, came.split())
    assert kept < 0.1 * returned, came
