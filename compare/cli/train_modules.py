"""`parity train-modules`."""

import sys
from pathlib import Path

import click

from torch_parity.compare.cli.command import Command
from torch_parity.compare.cli.options import IGNORED_RESULTS, JSON, QUIET, RUNS, SEED_OF_BOTH
from torch_parity.compare.judge.outcome import STATUS


@click.command(
    "train-modules",
    short_help="Train two torch models side by side.",
    cls=Command,
    examples=(
        ("Train two models for 100 steps", "parity train-modules net.py:a net.py:b --steps 100"),
        ("Judge every tenth step", "parity train-modules net.py:a net.py:b --every 10"),
    ),
)
@click.argument("a", metavar="FILE.py:A")
@click.argument("b", metavar="FILE.py:B")
@click.option("--steps", type=click.IntRange(1), help="Stop after this many steps.")
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
@QUIET
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
    quiet: bool,
) -> None:
    """Train two modules side by side, judge each step from the same state, draw the curves.

    A and B are functions in Python files that return (model, batches, loss, optimizer) or (model,
    batches, loss, optimizer, scheduler). Both are trained on the batches and with the loss of A.
    The exit status is 0 if every step of the two agrees, 1 if one does not, 2 for bad input, 3 if
    nothing is wrong but not every step was judged.
    """
    from torch_parity.compare.commands.train_modules import train_both

    sys.exit(STATUS[train_both(a, b, steps, every, name, root, seed, ignored, as_json, quiet)])
