"""Tables that fit a terminal: names and verdicts stay whole, and columns are left out instead."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

SHORTEST = 12  # characters of a name that stay in one line on any terminal
GAP = 2  # between two columns, and for both edges together


@dataclass(frozen=True)
class Column:
    """left_out is 1 for the column that a narrow terminal leaves out first, then 2...; it is 0 for
    a column that is always shown. breaks is the width at which entries may be broken, between the
    words of a name. legend explains the column below the table."""

    header: str
    left_out: int = 0
    breaks: int = 0
    name: bool = False
    legend: str = ""


def fitted(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Text]],
    width: int,
    title: str | None = None,
    note: str = "",
) -> Table:
    """The table in so many columns of a terminal. Where there is not enough room, first the entries
    that may be broken are broken, then columns are left out, then the names of the first column are
    broken as well, between their words. note is a last line of the legend."""
    cells = [[Text(c.header), *(row[n] for row in rows)] for n, c in enumerate(columns)]
    if _total(cells) > width:
        cells = [
            [broken(text, column.breaks) if column.breaks else text for text in entries]
            for column, entries in zip(columns, cells, strict=True)
        ]
    shown = list(range(len(columns)))
    for n in sorted((n for n in shown if columns[n].left_out), key=lambda n: columns[n].left_out):
        if _total([cells[k] for k in shown]) > width:
            shown.remove(n)
    over = _total([cells[k] for k in shown]) - width
    if over > 0:
        room = max(SHORTEST, _widest(cells[0]) - over)
        cells[0] = [broken(text, room) for text in cells[0]]
    legend = "\n".join(filter(None, [*(columns[n].legend for n in shown), note]))
    t = Table(
        title=title,
        caption=legend or None,
        caption_justify="left",
        box=SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    for n in shown:
        c = columns[n]
        t.add_column(
            cells[n][0],
            justify="left" if c.name else "right",
            overflow="fold",
            min_width=None if n else min(SHORTEST, _widest(cells[0])),
        )
    for row in range(1, len(rows) + 1):
        t.add_row(*(cells[n][row] for n in shown))
    return t


def broken(text: Text, room: int) -> Text:
    """The text in lines of at most so many characters, if its words are not longer: a line ends
    after a dot, an underscore or a space."""
    lines: list[str] = []
    for given in text.plain.split("\n"):
        lines.append("")
        for word in re.findall(r"[^._ ]+[._ ]*|[._ ]+", given):
            if lines[-1] and cell_len((lines[-1] + word).rstrip()) > room:
                lines.append("")
            lines[-1] += word
    return Text("\n".join(lines), style=text.style)


def _widest(cells: Sequence[Text]) -> int:
    return max((cell_len(line) for text in cells for line in text.plain.split("\n")), default=0)


def _total(columns: Sequence[Sequence[Text]]) -> int:
    return sum(_widest(cells) + GAP for cells in columns)
