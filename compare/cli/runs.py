"""`parity runs`."""

from pathlib import Path

import click

from torch_parity.compare.cli.command import Command
from torch_parity.compare.cli.completion import run_names
from torch_parity.compare.cli.options import RUNS


@click.command(
    short_help="List the runs, or remove one.",
    cls=Command,
    examples=(
        ("List the runs", "parity runs"),
        ("Delete one", "parity runs --remove moons-2"),
    ),
)
@click.option(
    "--remove", metavar="NAME", shell_complete=run_names, help="Delete the folder of this run."
)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@RUNS
def runs(remove: str | None, as_json: bool, root: Path) -> None:
    """List the runs, newest first: verdict, steps, score on dev, when and how large.

    A run is a folder that `parity train`, `parity train-modules`, `parity lesson` or a failed test
    with --parity-report wrote.
    """
    from torch_parity.compare.commands.runs import list_runs, remove_run

    if remove is not None:
        remove_run(root, remove)
    else:
        list_runs(root, as_json)
