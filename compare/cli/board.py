"""`parity board`."""

from pathlib import Path

import click

from torch_parity.compare.cli.command import Command
from torch_parity.compare.cli.completion import run_names
from torch_parity.compare.cli.options import RUNS


@click.command(
    short_help="Open runs in TensorBoard.",
    cls=Command,
    examples=(
        ("Open the newest run", "parity board"),
        ("Compare all runs", "parity board --all"),
    ),
)
@click.argument("name", required=False, shell_complete=run_names)
@click.option("--all", "everything", is_flag=True, help="Show all runs, to sort and compare them.")
@RUNS
@click.option(
    "--host",
    default="localhost",
    show_default=True,
    help="Address to listen on; 0.0.0.0 lets other machines in, without a password.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port; 0 means any free one.  [default: 6006, or the next free one]",
)
def board(name: str | None, everything: bool, root: Path, host: str, port: int | None) -> None:
    """Open TensorBoard on the run NAME, on the newest one, or on all of them.

    The command prints the address once there is something to show, and runs until Ctrl-C.
    """
    from torch_parity.compare.commands.board import serve_board

    serve_board(root, name, everything, host, port)
