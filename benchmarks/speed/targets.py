"""The targets for speed beside the measurements: the first table of docs/speed.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.speed.nets import NETS
from benchmarks.speed.peers import TARGETS


@dataclass(frozen=True)
class Target:
    """Some numbers of one kind, and the upper or lower limit of each."""

    what: str
    measured: tuple[float, ...]
    bounds: tuple[float, ...]
    at_least: bool = False

    @property
    def missed(self) -> tuple[bool, ...]:
        """For each number, whether it misses its limit."""
        pairs = zip(self.measured, self.bounds, strict=True)
        return tuple(m < b if self.at_least else m > b for m, b in pairs)


def targets(record: Mapping[str, Any]) -> list[Target]:
    """The targets with the numbers from the JSON of `make bench`."""
    single = [s for s in record["steps"] if s["threads"] == 1]
    by_dtype = {d: [s for s in single if s["dtype"] == d] for d in ("float64", "float32")}
    names = ", ".join("-".join(map(str, net.sizes)) for net in NETS)
    bounds = tuple(net.target for net in NETS)
    steps = {d: tuple(s["ratio"] for s in found) for d, found in by_dtype.items()}
    widest = tuple(found[-1]["peak"] for found in by_dtype.values())
    pair, judging, logging = record["pair"], record["judging"], record["logging"]
    judged = list(judging.values())[:2]
    start = record["startup"]
    extra = start["parity --help"]["median"] - start["python"]["median"]
    worked = record["processor"]
    huge = [
        g["numbers"]
        for g in record["growth"]
        if g["measure"] == "diff, MB" and len(g["sizes"]) == 1
    ]
    return [
        Target(f"time of a step, NumPy / torch eager: {names}", steps["float64"], bounds),
        Target("the same in float32", steps["float32"], bounds),
        Target(
            "share of the peak matrix-product rate, widest network: float64, float32",
            widest,
            (0.85, 0.85),
            True,
        ),
        Target(
            f"time of a digits step, {', '.join(f'NumPy / {name}' for name in TARGETS)}",
            tuple(record["peers"][name]["manual"] for name in TARGETS),
            tuple(TARGETS.values()),
        ),
        *(
            Target(
                f"time of a step, NumPy / torch eager, {dtype}: "
                + ", ".join(m["name"] for m in record["models"] if m["dtype"] == dtype),
                tuple(m["ratio"] for m in record["models"] if m["dtype"] == dtype),
                tuple(m["target"] for m in record["models"] if m["dtype"] == dtype),
            )
            for dtype in by_dtype
        ),
        Target(
            "time of both sides together / separately: idle machine, one core busy",
            tuple(p["ratio"] for p in pair.values()),
            (1.25, 1.3),
        ),
        Target(
            "time of judging / time of the two steps: digits, widest network",
            tuple(j["judge"] for j in judged),
            tuple(j["target"] for j in judged),
        ),
        Target(
            "logging: us per scalar, share of a run",
            (logging["ours, us"], logging["share of the run"]),
            (5, 0.1),
        ),
        Target(
            "logging: times cheaper than `add_scalar`", (logging["times cheaper"],), (10,), True
        ),
        Target("`parity --help`: seconds more than starting Python", (extra,), (0.3,)),
        Target(
            "`parity check --data moons`: processor seconds more than importing torch",
            (worked["parity check --data moons"] - worked["import torch"],),
            (1.5,),
        ),
        Target("`make demo`: processor seconds of its training", (worked["parity train"],), (6,)),
        *(Target("`parity diff` of two files of 2 GB: memory, MB", tuple(n), (500,)) for n in huge),
    ]


def lines(found: list[Target]) -> list[str]:
    """A Markdown table; a missed target has a mark."""
    rows = ["| | measured | target |", "| --- | --- | --- |"]
    for t in found:
        marked = zip(t.measured, t.missed, strict=True)
        measured = ", ".join(f"{m:.3g}{' !' if missed else ''}" for m, missed in marked)
        least = "at least " if t.at_least else ""
        rows.append(f"| {t.what} | {measured} | {least}{', '.join(f'{b:g}' for b in t.bounds)} |")
    return rows
