"""`parity train-modules`: train two modules of a user's own Python files side by side."""

import sys
from collections.abc import Iterable, Iterator, Sized
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from torch_parity.compare.commands.options import IGNORED_RESULTS, JSON, RUNS, SEED_OF_BOTH
from torch_parity.compare.commands.user_file import described, made_by
from torch_parity.compare.errors import InputError
from torch_parity.compare.judge.outcome import STATUS
from torch_parity.compare.runs import folder as runs
from torch_parity.compare.show import progress_bar

if TYPE_CHECKING:
    from torch_parity.compare.aten.watch import Watch

FORM = "expected (model, batches, loss, optimizer) or (model, batches, loss, optimizer, scheduler)"


@click.command("train-modules")
@click.argument("a", metavar="FILE.py:A")
@click.argument("b", metavar="FILE.py:B")
@click.option("--steps", type=click.IntRange(1), help="Take at most so many steps.")
@click.option(
    "--every",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Judge the first step, the last, and every Nth one.",
)
@click.option("--name", help="Name of the run  [default: the name of A's file]")
@RUNS
@SEED_OF_BOTH
@IGNORED_RESULTS
@JSON
def train_modules(
    a: str,
    b: str,
    steps: int | None,
    every: int,
    name: str | None,
    root: Path,
    seed: int,
    ignored: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train two modules side by side, judge each step from the same state, draw the curves.

    A and B are functions in Python files that return (model, batches, loss, optimizer) or (model,
    batches, loss, optimizer, scheduler). Both are trained on the batches and with the loss of A.
    The exit status is 0 if every step of the two agrees, 1 if one does not, 2 for bad input, 3 if
    nothing is wrong but not every step was judged.
    """
    from torch_parity.compare.train_modules import train_modules as train

    first, second = (_parts(where, seed) for where in (a, b))
    run = name or runs.free_name(root, Path(a.rpartition(":")[0]).stem)
    with progress_bar.on_stderr() as watch:
        report = train(
            first[0],
            second[0],
            _watched(first[1], steps, watch),
            loss=first[2],
            optimizers=(first[3], second[3]),
            schedulers=(first[4], second[4]),
            run=run,
            root=root,
            every=every,
            ignore=ignored,
        )
    if as_json:
        click.echo(report.json())
    else:
        click.echo(f"{report.verdict}\nCurves: {report.folder} (parity board {run})")
    sys.exit(STATUS[report.outcome])


def _parts(where: str, seed: int) -> tuple[Any, ...]:
    """Model, batches, loss, optimizer, scheduler."""
    parts = made_by(where, seed)
    if len(parts) not in (4, 5):
        raise InputError(f"{where} returned {described(parts)}; {FORM}")
    return (*parts, None)[:5]


def _watched(batches: Any, steps: int | None, watch: "Watch") -> Any:
    """At most so many batches; each that is taken moves the bar."""
    if not isinstance(batches, Iterable):
        return batches
    known = [n for n in (steps, len(batches) if isinstance(batches, Sized) else None) if n]
    tick = watch("training both", min(known, default=0))

    def taken() -> Iterator[Any]:
        for batch in islice(batches, steps):
            tick()
            yield batch

    return taken()
