"""`make bench`: print every table of speed, and store the numbers as JSON."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.interleaved import Timed, machine, ratio
from benchmarks.speed import growth, lockstep, models, page, peers, startup, steps, targets

KEPT = Path(__file__).parent / "results.json"


class Shown:
    """Tables, each printed as soon as it is measured."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.all: list[Table] = []

    def add(self, *tables: Table) -> None:
        """Print a table, and keep it for the page."""
        for table in tables:
            self.console.print(table)
        self.all += tables


@click.command()
@click.option("--rounds", default=15, type=click.IntRange(3), show_default=True)
@click.option("--huge/--no-huge", default=True, help="Two files of 2 GB, in the temp folder.")
@click.option("--compiled/--no-compiled", default=True, help="torch.compile as well.")
def main(rounds: int, huge: bool, compiled: bool) -> None:
    """Time everything, keep the JSON, write docs/speed.md; half an hour on two cores."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(machine(), highlight=False)
    tables = Shown(console)
    tables.add(steps.table(stepped := steps.steps(rounds, compiled)))
    timed, missing = peers.peers(rounds)
    tables.add(peers.table(timed, missing))
    tables.add(models.table(of_models := models.models(2 * rounds)))
    pairs, judged = lockstep.together(max(3, rounds // 3)), lockstep.judging(rounds)
    logged = lockstep.logging(rounds)
    tables.add(*lockstep.tables(pairs, judged, logged))
    tables.add(_starts(started := startup.startup(rounds)))
    tables.add(_processor(worked := startup.processor_time(max(3, rounds // 5))))
    tables.add(growth.table(grown := growth.growth(huge)))
    record = {
        "machine": machine(),
        "steps": [asdict(s) for s in stepped],
        "peers": {
            n: {"median": t.median, "manual": ratio(timed, "manual", n)} for n, t in timed.items()
        },
        "models": [asdict(m) for m in of_models],
        "pair": pairs,
        "judging": judged,
        "logging": logged,
        "startup": {n: {"median": t.median} for n, t in started.items()},
        "processor": worked,
        "growth": [asdict(g) for g in grown],
    }
    KEPT.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    page.write(tables.all, machine(), targets.lines(targets.targets(record)))


def _starts(started: dict[str, Timed]) -> Table:
    t = Table("", "seconds", "times python", title="Start-up", box=None)
    for name, taken in started.items():
        t.add_row(name, f"{taken.median:.3f}", f"{ratio(started, name, 'python'):.1f}")
    return t


def _processor(worked: dict[str, float]) -> Table:
    t = Table("", "seconds", title="Processor time of short commands", box=None)
    for name, seconds in worked.items():
        t.add_row(name, f"{seconds:.2f}")
    return t


if __name__ == "__main__":
    main()
