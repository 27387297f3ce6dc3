"""What the tests of a session compared, as Markdown that a CI job can show."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

PROPERTY = "parity"
MARKS = {"FAIL": "❌", "ERROR": "🛑", "UNJUDGED": "⚠️", "PASS": "✅"}


def lines(reports: Iterable[pytest.TestReport]) -> list[str]:
    """A count of the answers, then a row for each comparison, what is wrong first."""
    found = dict.fromkeys(
        (report.nodeid, str(said))
        for report in reports
        for name, said in report.user_properties
        if name == PROPERTY
    )
    rows = sorted(found, key=lambda row: list(MARKS).index(_answer(row[1])))
    counted = Counter(_answer(said) for _, said in rows)
    counts = ", ".join(f"{counted[answer]} {answer}" for answer in MARKS if counted[answer])
    head = ["## Parity", "", f"{counts or 'Nothing was compared'}.", ""]
    if not rows:
        return head
    table = [
        f"| {MARKS[_answer(said)]} | `{_cell(nodeid)}` | {_cell(said)} |" for nodeid, said in rows
    ]
    return [*head, "| | test | verdict |", "| --- | --- | --- |", *table]


def write(file: Path, found: list[str]) -> None:
    """Replace the file.

    Raises:
        OSError: it cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.is_symlink():
        file.unlink()
    file.write_text("\n".join([*found, ""]), "utf-8")


def _answer(said: str) -> str:
    return said.partition(" ")[0]


def _cell(text: str) -> str:
    """Text in a table's cell: a bar would end it."""
    return text.replace("|", "\\|").replace("`", "'").replace("<", "&lt;")
