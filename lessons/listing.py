"""The list of `parity lesson`. It does not wait for torch."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from torch_parity.lessons import contents


def list_lessons(console: Console) -> None:
    """Print every lesson: its idea, and the headings of the notes that it covers."""
    table = Table(box=None, pad_edge=False)
    table.add_column("lesson", no_wrap=True)
    table.add_column("what it shows", overflow="fold")
    table.add_column("heading in the notes", overflow="fold")
    for name, line, headings in contents():
        table.add_row(name, escape(line), "; ".join(headings))
    console.print(table)
    console.print("\nparity lesson NAME runs a lesson on both sides.", highlight=False)
