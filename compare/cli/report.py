"""`parity report`."""

from pathlib import Path

import click

from torch_parity.compare.cli.options import RUNS


@click.command(short_help="Write a run as one HTML page.")
@click.argument("name", required=False)
@RUNS
def report(name: str | None, root: Path) -> None:
    """Write the run NAME, or the newest one, as one HTML page that needs no server or network.

    A run is a training, a lesson, or a failed test kept by --parity-report DIR (give --runs DIR).
    The exit status is 0 if the page was written, whatever its verdict, 2 for bad input.
    """
    from torch_parity.compare.commands.report import write_report

    write_report(root, name)
