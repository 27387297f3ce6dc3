"""`parity lesson`."""

import sys
from pathlib import Path

import click

from torch_parity.compare.cli.command import Command
from torch_parity.compare.cli.completion import lesson_names
from torch_parity.compare.cli.options import QUIET, RUNS


@click.command(
    short_help="List the lessons, or run one.",
    cls=Command,
    examples=(
        ("List the lessons", "parity lesson"),
        ("Run one", "parity lesson dropout"),
    ),
)
@click.argument("name", required=False, shell_complete=lesson_names)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Seed of the data, parameters and masks.",
)
@RUNS
@QUIET
def lesson(name: str | None, seed: int, root: Path, quiet: bool) -> None:
    """List the lessons, or run the one called NAME on both sides.

    The exit status is 0 if both sides agreed throughout, 1 if they did not, 2 for bad input.
    """
    if name is None:
        from rich.console import Console

        from torch_parity.lessons.listing import list_lessons

        list_lessons(Console())
        return
    from torch_parity.lessons.command import run_lesson

    if not run_lesson(name, seed, root, quiet):
        sys.exit(1)
