"""`make bench`: every table of speed, beside what it is compared to; the JSON is kept."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.interleaved import Timed, machine, ratio
from benchmarks.speed import growth, lockstep, peers, startup, steps

KEPT = Path(__file__).parent / "results.json"


@click.command()
@click.option("--rounds", default=15, type=click.IntRange(3), show_default=True)
@click.option("--huge/--no-huge", default=True, help="Two files of 2 GB, in the temp folder.")
@click.option("--compiled/--no-compiled", default=True, help="torch.compile as well.")
@click.option("--out", default=KEPT, type=click.Path(dir_okay=False, path_type=Path))
def main(rounds: int, huge: bool, compiled: bool, out: Path) -> None:
    """Time everything; half an hour on two cores."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(machine(), highlight=False)
    stepped = steps.steps(rounds, compiled)
    console.print(steps.table(stepped))
    timed, missing = peers.peers(rounds)
    console.print(peers.table(timed, missing))
    pairs, judged = lockstep.together(max(3, rounds // 3)), lockstep.judging(rounds)
    logged = lockstep.logging(rounds)
    for table in lockstep.tables(pairs, judged, logged):
        console.print(table)
    started = startup.startup(rounds)
    console.print(_starts(started))
    grown = growth.growth(huge)
    console.print(growth.table(grown))
    record = {
        "machine": machine(),
        "steps": [asdict(s) for s in stepped],
        "peers": _seconds(timed),
        "pair": pairs,
        "judging": judged,
        "logging": logged,
        "startup": _seconds(started),
        "growth": [asdict(g) for g in grown],
    }
    out.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def _seconds(timed: dict[str, Timed]) -> dict[str, dict[str, object]]:
    return {n: {"median": t.median, "seconds": t.seconds} for n, t in timed.items()}


def _starts(started: dict[str, Timed]) -> Table:
    t = Table("", "seconds", "times python", title="Start-up", box=None)
    for name, taken in started.items():
        t.add_row(name, f"{taken.median:.3f}", f"{ratio(started, name, 'python'):.1f}")
    return t


if __name__ == "__main__":
    main()
