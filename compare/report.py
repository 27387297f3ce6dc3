"""The run on a terminal: one table, two scores, one verdict."""

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from compare.case import Case
from compare.data import Data
from compare.pair import Pair
from compare.summary import Summary, Worst, by_kind, worst_of


def show_case(console: Console, case: Case, data: Data, pair: Pair) -> None:
    """What is about to run, in three lines."""
    sizes = "-".join(str(n) for n in pair.manual.net.sizes)
    t = pair.targets
    console.print(
        f"[bold]{data.name}[/]: {len(data.x_train)} train and {len(data.x_dev)} dev samples, "
        f"network {sizes} ({case.activation}, {t.output} output), {case.dtype}\n"
        f"loss {t.loss} ({case.reduction}), dropout p={case.p:g}, "
        f"L2 lambda={case.l2:g} by {case.l2_route}, L1 lambda={case.l1:g}, m={len(data.x_train)}\n"
        f"{case.optimizer} lr={case.lr:g}, {case.steps} steps of {case.batch} samples, "
        f"{case.initializer}, seed {case.seed}",
        highlight=False,
        soft_wrap=True,
    )


def show(console: Console, summary: Summary, folder: Path) -> None:
    """The table of tensors, the scores, the diagnosis, where the curves lie, the verdict."""
    console.print(table(summary))
    if any(summary.scores.values()):
        console.print(_scores(summary))
    if summary.diagnosis:
        d = summary.diagnosis
        advice = f"; try: {', '.join(d.advice)}" if d.advice else ""
        console.print(
            f"Diagnosis: {d.verdict} (bias {d.bias:.1%}, variance {d.variance:.1%}){advice}",
            highlight=False,
            soft_wrap=True,
        )
    console.print(
        f"Left to run free, the two sides' parameters are {summary.drift:.1e} apart at the end.\n"
        f"Curves: {folder} (parity board {folder.name})",
        highlight=False,
        soft_wrap=True,
    )
    console.print(verdict(summary), highlight=False, soft_wrap=True)


def table(summary: Summary) -> Table:
    """One row per kind of tensor: its worst over all layers and steps."""
    t = Table(title="manual against torch, each step from the same state", box=SIMPLE_HEAD)
    for column in ("tensors", "greatest", "difference", "in step", "bound", "verdict"):
        t.add_column(column, justify="left" if column in ("tensors", "greatest") else "right")
    for group in by_kind(summary.worst.values()).values():
        w = worst_of(group)
        d = w.difference
        colour = "green" if d.verdict == "match" else "yellow" if d.passed else "red"
        t.add_row(
            _span([g.difference.name for g in group]),
            d.name,
            f"{d.relative:.1e}" if d.relative == d.relative else "none",
            str(w.step),
            f"{d.bound:.1e}" if d.bound else "equal",
            f"[{colour}]{d.verdict}[/]",
        )
    return t


def verdict(summary: Summary) -> str:
    """One sentence that nobody can misread."""
    count = f"{len(summary.worst)} tensors x {summary.steps} steps"
    if summary.first_failure:
        return f"[bold red]FAIL[/] {_failure(summary.first_failure)}"
    if summary.kinks:
        return (
            f"[bold green]PASS[/] {count} match, but {summary.kinks} steps met a kink (a z that is "
            "0 to rounding): what follows from it was left undecided there"
        )
    return f"[bold green]PASS[/] {count} match" if summary.passed else "[bold red]FAIL[/] no steps"


def _failure(w: Worst) -> str:
    d = w.difference
    by = f"{d.relative:.1e} apart, bound {d.bound:.1e}: " if d.verdict == "differs" else ""
    return f"step {w.step}, {d.name} ({d.verdict}): {by}{d.detail}"


def _scores(summary: Summary) -> Table:
    t = Table(box=None)
    t.add_column(summary.score)
    for column in ("train", "dev"):
        t.add_column(column, justify="right")
    for side, scores in summary.scores.items():
        cells = [scores.get(f"{summary.score}/{split}") for split in ("train", "dev")]
        t.add_row(side, *(f"{c:.2%}" if c is not None else "none" for c in cells))
    return t


def _span(names: list[str]) -> str:
    """W1..W3 rather than W1 W2 W3; gradients come last layer first, and read better turned."""
    first, *rest = sorted(names, key=lambda n: (len(n), n))
    return f"{first}..{rest[-1]}" if rest else first
