"""`parity report`: write a run as one HTML page into its folder."""

from pathlib import Path

import click

from torch_parity.compare.errors import InputError
from torch_parity.compare.runs import atomic
from torch_parity.compare.runs import folder as runs
from torch_parity.compare.show import html


def write_report(root: Path, name: str | None) -> None:
    """Write report.html into the run's folder, and print its path.

    Raises:
        InputError: there is no such run, a file of it is damaged, or the page cannot be written.
    """
    folder = runs.find(root, name)
    runs.refuse_links(folder)
    file = folder / "report.html"
    try:
        page = html.page(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from None
    try:
        atomic.write(file, page.encode())
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}") from None
    click.echo(f"Report: {file}")
