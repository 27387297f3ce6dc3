"""`parity ranks`."""

import sys
from pathlib import Path

import click

from torch_parity.compare.cli.command import Command
from torch_parity.compare.judge.outcome import STATUS


@click.command(
    short_help="Judge the steps of a distributed run.",
    cls=Command,
    examples=(("Judge what torchrun recorded in a folder", "parity ranks job"),),
)
@click.argument("folder", type=click.Path(path_type=Path))
def ranks(folder: Path) -> None:
    """Judge the steps that the ranks of a run recorded with torchrun ... FOLDER --traces 3.

    N ranks, the same shards in NumPy, and one process with the whole batch must compute the same
    step. The exit status is 0 if they do, 1 if they do not, 2 for bad input, 3 if nothing is wrong
    but not everything could be judged.
    """
    from torch_parity.compare.commands.ranks import judge_ranks

    sys.exit(STATUS[judge_ranks(folder)])
