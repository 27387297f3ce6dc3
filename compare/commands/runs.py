"""`parity runs`: list the runs of a folder, or remove one."""

import json
import shutil
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from torch_parity.compare.errors import InputError, printable
from torch_parity.compare.runs import answers, folder
from torch_parity.compare.runs.answers import RunAnswer
from torch_parity.compare.runs.lock import RunLock

COLOURS = {"PASS": "green", "FAIL": "red"}


@dataclass(frozen=True)
class Run:
    """A run's folder: its answer, or what is damaged in it; when it was last written, and its size
    in bytes."""

    name: str
    written: datetime
    size: int
    answer: RunAnswer | None
    damaged: str = ""


def list_runs(root: Path, as_json: bool) -> None:
    """Print the runs in a folder, the newest first."""
    found = sorted(_runs(root), key=lambda run: run.written, reverse=True)
    if as_json:
        click.echo(json.dumps([_record(run) for run in found], indent=1))
        return
    if not found:
        click.echo(f"No runs in {root} yet:  parity train  makes one.")
        return
    console = Console()
    table = Table(box=None, pad_edge=False)
    table.add_column("run", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for header in ("steps", "dev", "written", "size"):
        table.add_column(header, justify="right", no_wrap=True)
    if console.width >= 80:
        table.add_column("what")
    for run in found:
        table.add_row(*_cells(run)[: len(table.columns)])
    console.print(table, highlight=False)
    for run in found:
        if run.damaged:
            console.print(
                f"{escape(printable(run.name))}: {escape(printable(run.damaged))}", highlight=False
            )


def remove_run(root: Path, name: str) -> None:
    """Delete a run's folder, unless a process is training it.

    Raises:
        InputError: there is no such run, the folder is no run, or it is in use.
    """
    found = folder.find(root, name)
    if found.is_symlink() or not answers.is_run(found):
        raise InputError(f"{found} is not a run of parity, so it is not removed")
    with RunLock(found, "and try again"):
        pass
    try:
        shutil.rmtree(found)
    except OSError as error:
        raise InputError(f"{found} cannot be removed: {error.strerror}") from None
    click.echo(f"Removed {found}")


def _runs(root: Path) -> list[Run]:
    folders = sorted(root.iterdir()) if root.is_dir() else []
    return [_run(found) for found in folders if found.is_dir() and answers.is_run(found)]


def _run(found: Path) -> Run:
    files = [file.lstat() for file in found.rglob("*") if file.is_file()]
    written = datetime.fromtimestamp(max(s.st_mtime for s in files)).astimezone()
    size = sum(s.st_size for s in files)
    try:
        return Run(found.name, written, size, answers.answer(found))
    except InputError as error:
        return Run(found.name, written, size, None, str(error))


def _cells(run: Run) -> tuple[str, ...]:
    about = run.answer or RunAnswer("damaged", "NO VERDICT")
    colour = COLOURS.get(about.status, "yellow")
    return (
        escape(printable(run.name)),
        f"[{colour}]{about.status}[/]",
        str(about.steps or ""),
        f"{about.score[1]:.1%}" if about.score else "",
        _when(run.written),
        decimal(run.size),
        escape(printable(about.kind)),
    )


def _when(written: datetime) -> str:
    """As ls has it: the time of day in this year, else the year."""
    this_year = written.year == datetime.now().year
    return f"{written:%d %b %H:%M}" if this_year else f"{written:%d %b %Y}"


def _record(run: Run) -> dict[str, object]:
    return asdict(run) | {"written": run.written.isoformat(timespec="seconds")}
