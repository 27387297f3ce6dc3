"""`parity faults`."""

from typing import Literal

import click

from torch_parity.compare.cli.command import Command
from torch_parity.compare.cli.completion import fault_names


@click.command(
    short_help="List the known mistakes, or plant one.",
    cls=Command,
    examples=(
        ("List the known mistakes", "parity faults"),
        ("Plant one in torch's side, and see it found", "parity faults bias_missing --side torch"),
    ),
)
@click.argument("name", required=False, shell_complete=fault_names)
@click.option("--side", type=click.Choice(["manual", "torch"]), default="manual", show_default=True)
def faults(name: str | None, side: Literal["manual", "torch"]) -> None:
    """List the known mistakes, or plant the one called NAME and show how the judge finds it."""
    from rich.console import Console

    if name is None:
        from torch_parity.compare.commands.fault_list import list_faults

        list_faults(Console())
        return
    from torch_parity.compare.commands.faults import show

    show(Console(), name, side)
