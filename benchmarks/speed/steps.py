"""One training step: by hand, torch eager, torch.compile; both precisions, one thread and two."""

from dataclasses import dataclass

import numpy as np
from rich.table import Table

from benchmarks.interleaved import interleaved, ratio
from benchmarks.speed.nets import NETS, WIDEST, Net, bare, by_hand, in_torch, problem
from torch_parity.compare import threads

SIDE = 1024
REST = 0.3


@dataclass(frozen=True)
class Step:
    """Milliseconds of a step; ratio is manual / torch eager, least is the bare NumPy step / torch
    eager, peak is the rate of the manual step's products as a share of that of a 1024 x 1024
    product."""

    net: str
    dtype: str
    threads: int
    manual: float
    eager: float
    compiled: float | None
    ratio: float
    least: float
    peak: float
    target: float | None


def steps(rounds: int, compiled: bool) -> list[Step]:
    """Every network, precision and thread count; targets are for one thread."""
    found: list[Step] = []
    for count in (1, 2):
        with threads.limited(count):
            found += [
                _step(net, dtype, count, rounds, compiled and count == 1)
                for net in NETS
                for dtype in ("float64", "float32")
            ]
    return found


def _step(net: Net, dtype: str, count: int, rounds: int, compiled: bool) -> Step:
    p = problem(net, dtype)
    a = np.random.default_rng(1).standard_normal((SIDE, SIDE)).astype(dtype)
    methods = {"manual": by_hand(p), "bare": bare(p), "eager": in_torch(p)}
    methods["product"] = lambda: a @ a
    if compiled:
        methods["compiled"] = in_torch(p, compiled=True)
    turns = rounds if net != WIDEST else max(5, rounds // 3)
    timed = interleaved(methods, turns, rest=REST if count > 1 else 0.0)
    rate = net.products / timed["manual"].median
    best = 2 * SIDE**3 / min(timed["product"].seconds)
    return Step(
        net.name,
        dtype,
        count,
        timed["manual"].median * 1e3,
        timed["eager"].median * 1e3,
        timed["compiled"].median * 1e3 if compiled else None,
        ratio(timed, "manual", "eager"),
        ratio(timed, "bare", "eager"),
        rate / best,
        net.target if count == 1 else None,
    )


def table(found: list[Step]) -> Table:
    """One row per network and precision."""
    t = Table("network", "", "threads", title="One training step, ms", box=None)
    for header in ("manual", "eager", "compile", "manual/eager", "target", "bare/eager", "of peak"):
        t.add_column(header, justify="right")
    for s in found:
        missed = s.target is not None and s.ratio > s.target
        t.add_row(
            s.net,
            s.dtype,
            str(s.threads),
            f"{s.manual:.3f}",
            f"{s.eager:.3f}",
            "" if s.compiled is None else f"{s.compiled:.3f}",
            f"{s.ratio:.2f}{' !' if missed else ''}",
            "" if s.target is None else f"{s.target:.2f}",
            f"{s.least:.2f}",
            f"{s.peak:.0%}",
        )
    return t
