"""`parity train-modules`: train two modules of a user's own Python files side by side."""

from collections.abc import Iterable, Iterator, Sized
from itertools import islice
from pathlib import Path
from typing import Any

import click

from torch_parity.compare.aten.watch import Watch
from torch_parity.compare.commands.user_file import described, made_by
from torch_parity.compare.errors import InputError
from torch_parity.compare.judge.outcome import Answer
from torch_parity.compare.runs import folder as runs
from torch_parity.compare.show.progress import watched
from torch_parity.compare.train_modules import train_modules

FORM = "expected (model, batches, loss, optimizer) or (model, batches, loss, optimizer, scheduler)"


def train_both(
    a: str,
    b: str,
    steps: int | None,
    every: int,
    name: str | None,
    root: Path,
    seed: int,
    ignored: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> Answer:
    """Train, judge, draw and print the report -> the answer.

    Raises:
        InputError: a file, its function or what that returns cannot be used.
    """
    first, second = (_parts(where, seed) for where in (a, b))
    run = name or runs.free_name(root, Path(a.rpartition(":")[0]).stem)
    with watched(quiet) as watch:
        report = train_modules(
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
    return report.outcome


def _parts(where: str, seed: int) -> tuple[Any, ...]:
    """Model, batches, loss, optimizer, scheduler."""
    parts = made_by(where, seed)
    if len(parts) not in (4, 5):
        raise InputError(f"{where} returned {described(parts)}; {FORM}")
    return (*parts, None)[:5]


def _watched(batches: Any, steps: int | None, watch: Watch) -> Any:
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
