"""`parity gradcheck`: check the gradients of a case by every method, in one table."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from torch_parity.compare import data, threads
from torch_parity.compare.case import Case
from torch_parity.compare.gradients import gradcheck_pictures
from torch_parity.compare.gradients.gradcheck import Checked, check_moment, moments, scan
from torch_parity.compare.numbers import json_safe
from torch_parity.compare.runs import folder as runs
from torch_parity.compare.show import terminal
from torch_parity.compare.show.progress import progress
from torch_parity.compare.show.terminal import WIDE
from torch_parity.compare.sources import pair


def check_gradients(
    case: Case,
    after: int | None,
    scan_epsilon: bool,
    as_json: bool,
    quiet: bool,
    name: str | None,
    root: Path,
) -> bool:
    """Check, show, draw -> whether the exact check found every gradient right.

    Raises:
        InputError: the case, its data or the run's folder cannot be used, or it is not float64.
    """
    console = Console()
    with threads.limited(case.threads):
        loaded = data.load(case)
        sides = pair.build(case, loaded)
        checks, scans = [], []
        with progress(quiet) as tell:
            for at in moments(case, loaded, sides, after):
                checks.append(check_moment(sides, at, lambda what: tell(what, 0, None, "")))
                if scan_epsilon:
                    tell("scanning epsilon", 0, None, "")
                    scans.append(scan(sides, at))
    folder = runs.create(root, name, default="gradcheck") if name or scan_epsilon else None
    if folder:
        _draw(folder, checks, scans)
    if as_json:
        console.print_json(json.dumps(json_safe(_record(checks, scans))))
    elif quiet:
        for c in checks:
            show_verdict(console, c)
    else:
        terminal.show_case(console, case, loaded, sides)
        for i, c in enumerate(checks):
            show(console, c)
            if scans:
                _show_scan(console, scans[i])
        if folder:
            console.print(
                f"Pictures: {escape(str(folder))} (parity board {escape(folder.name)})",
                highlight=False,
                soft_wrap=True,
            )
    return bool(checks) and all(c.passed for c in checks)


def show(console: Console, c: Checked) -> None:
    """Print the table of methods, the entries with the largest errors if it fails, the verdict."""
    when = f"after {c.after} steps" if c.after else "at initialization"
    title = f"gradients of {c.parameters:,} parameters {when}"
    t = Table(title=title, box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    wide = console.width >= WIDE
    costs = ("entries", "seconds") if wide else ()
    for header in ("side", "method", "difference", *costs, "verdict"):
        left = header in ("side", "method")
        t.add_column(header, justify="left" if left else "right", no_wrap=header != "verdict")
    for line in c.lines:
        colour = {None: "", True: "[green]", False: "[red]"}[line.passed]
        t.add_row(
            line.side,
            line.method,
            "none" if line.difference is None else f"{line.difference:.1e}",
            *((f"{line.entries:,}", f"{line.seconds:.3f}") if wide else ()),
            f"{colour}{line.verdict}",
        )
    console.print(t)
    if c.kinks:
        console.print(
            f"{c.kinks} places are within rounding of a kink (or at the floors of BCELoss), "
            "where either slope counts as right.",
            highlight=False,
            soft_wrap=True,
        )
    for line in c.lines:
        for w in (w for w in line.worst if w.share >= 0.01):
            where = f"d{w.parameter}{list(w.index)}"
            console.print(
                f"{line.side}: {escape(where)} is {w.given:.15g}, exactly {w.expected:.15g} "
                f"({w.share:.0%} of d{w.parameter}'s error)",
                highlight=False,
                soft_wrap=True,
            )
    show_verdict(console, c)


def show_verdict(console: Console, c: Checked) -> None:
    """Print the verdict, in a line."""
    word = "[bold green]PASS[/]" if c.passed else "[bold red]FAIL[/]"
    sides = "; ".join(f"{n.side}: {n.verdict}" for n in c.lines if n.passed is not None)
    console.print(f"{word} {sides}", highlight=False, soft_wrap=True)


def _show_scan(console: Console, scan: dict[float, float]) -> None:
    best = min(scan, key=scan.__getitem__)
    t = Table(title="error of two-sided differences", box=SIMPLE_HEAD)
    t.add_column("epsilon", justify="right")
    t.add_column("error", justify="right")
    t.add_column("")
    for epsilon, error in scan.items():
        t.add_row(f"{epsilon:.0e}", f"{error:.1e}", "best" if epsilon == best else "")
    console.print(t)


def _draw(folder: Path, checks: list[Checked], scans: list[dict[float, float]]) -> None:
    gradcheck_pictures.write(folder, checks)
    for last in scans[-1:]:
        gradcheck_pictures.write_scan(folder, last)


def _record(checks: list[Checked], scans: list[dict[float, float]]) -> dict[str, Any]:
    """For machines; the errors entry by entry stay in the pictures."""
    records = []
    for i, c in enumerate(checks):
        record = {
            "after": c.after,
            "passed": c.passed,
            "parameters": c.parameters,
            "kinks": c.kinks,
            "lines": [dataclasses.asdict(line) for line in c.lines],
        }
        if scans:
            record["epsilon"] = {f"{e:.0e}": error for e, error in scans[i].items()}
        records.append(record)
    return {"passed": bool(checks) and all(c.passed for c in checks), "checks": records}
