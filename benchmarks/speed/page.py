"""docs/speed.md: the tables of `make bench` as a page, so that no figure on it is typed in."""

import io
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

PAGE = Path(__file__).parents[2] / "docs" / "speed.md"

INTRODUCTION = """\
# How fast it is

Written by `make bench` on {machine}, float64 and one thread unless a table says otherwise. What is
compared runs in turn in one process; times are medians, and ratios are medians of the ratios round
by round. A target that was missed is marked with `!`.

NumPy and torch each keep a pool of threads. With more than one thread in each, the two pools spin
against each other when both sides work in one process, and a small step takes twenty times as long;
`--threads` is for networks so wide that a single product fills the cores.
"""


def write(tables: list[Table], machine: str) -> None:
    """Each table under its title."""
    text = io.StringIO()
    text.write(INTRODUCTION.format(machine=machine))
    console = Console(file=text, width=400)
    for table in tables:
        text.write(f"\n## {table.title}\n\n")
        table.title, table.box = None, box.MARKDOWN
        console.print(table)
    lines = (line.strip() for line in text.getvalue().splitlines())
    PAGE.write_text("\n".join(lines) + "\n", "utf-8")
