"""`parity faults`."""

from typing import Literal

import click


@click.command(short_help="List the known mistakes, or plant one.")
@click.argument("name", required=False)
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
