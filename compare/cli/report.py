"""`parity report`."""

from pathlib import Path

import click

from torch_parity.compare.cli.command import Command
from torch_parity.compare.cli.completion import run_names
from torch_parity.compare.cli.options import RUNS


@click.command(
    short_help="Write a run as one HTML page.",
    cls=Command,
    examples=(
        ("Write the newest run", "parity report"),
        ("Write one by its name", "parity report moons"),
    ),
)
@click.argument("name", required=False, shell_complete=run_names)
@RUNS
def report(name: str | None, root: Path) -> None:
    """Write the run NAME, or the newest one, as one HTML page that needs no server or network.

    A run is a training, a lesson, or a failed test kept by --parity-report DIR (give --runs DIR).
    The exit status is 0 if the page was written, whatever its verdict, 2 for bad input.
    """
    from torch_parity.compare.commands.report import write_report

    write_report(root, name)
