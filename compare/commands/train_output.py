"""What `parity train` prints: the report, the verdict alone (--quiet), or the summary (--json)."""

import json
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from torch_parity.compare.runs.summary import Summary
from torch_parity.compare.show import terminal


@dataclass(frozen=True)
class Output:
    """How much is printed; with as_json nothing but the JSON is."""

    as_json: bool = False
    quiet: bool = False

    @property
    def report(self) -> Console:
        """Prints what belongs to the report alone."""
        return Console(quiet=self.as_json or self.quiet)

    @property
    def verdict(self) -> Console:
        """Prints the verdict, and what to do next."""
        return Console(quiet=self.as_json)

    def show(self, summary: Summary, folder: Path) -> None:
        """Print what the run in this folder, which has its summary.json, has shown."""
        if self.quiet:
            terminal.show_verdict(self.verdict, summary)
        else:
            terminal.show(self.report, summary, folder)
        self.show_json(folder)

    def show_json(self, folder: Path) -> None:
        """Print the summary of a run, and where its curves are, if it is wanted as JSON."""
        if self.as_json:
            summary = json.loads((folder / "summary.json").read_bytes())
            click.echo(json.dumps({"folder": str(folder), **summary}, indent=1))


REPORT = Output()
