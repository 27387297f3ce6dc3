"""What `make bench` times in turn computes the same; its targets are read rightly."""

import json
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
