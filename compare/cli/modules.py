"""`parity modules`."""

import sys
from pathlib import Path

import click

from torch_parity.compare.cli.command import Command
from torch_parity.compare.cli.options import IGNORED_RESULTS, JSON, KEEP, QUIET, SEED_OF_BOTH
from torch_parity.compare.judge.outcome import STATUS


@click.command(
    short_help="Judge whether two torch models agree.",
    cls=Command,
    examples=(
        ("Compare two functions of a file", "parity modules net.py:old net.py:new"),
        ("Compare a model with a recording", "parity modules old.safetensors net.py:new"),
    ),
)
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@SEED_OF_BOTH
@IGNORED_RESULTS
@KEEP
@JSON
@QUIET
def modules(
    a: str,
    b: str,
    seed: int,
    ignored: tuple[str, ...],
    keep: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Judge whether two models compute the same: forward, backward and update.

    A and B are functions in Python files, FILE.py:NAME, that return (model, inputs), (model,
    inputs, loss) or (model, inputs, loss, optimizer); or files of `parity record --module`. The
    exit status is 0 if the two agree, 1 if they do not, 2 for bad input, 3 if nothing is wrong but
    not everything could be judged.
    """
    from torch_parity.compare.commands.modules import judge_modules

    sys.exit(STATUS[judge_modules(a, b, seed, ignored, keep, as_json, quiet)])
