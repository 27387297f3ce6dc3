"""The list of `parity faults`: every known mistake. It does not wait for torch."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from torch_parity.compare.causes import CATALOGUE


def list_faults(console: Console) -> None:
    """Print every cause, one per line."""
    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("the mistake", overflow="fold")
    for cause in CATALOGUE.values():
        table.add_row(cause.name, escape(cause.sentence))
    console.print(table)
    console.print(f"\n{len(CATALOGUE)} known mistakes; parity faults NAME plants one.")
