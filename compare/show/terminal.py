"""The run on a terminal: one table, two scores, one verdict."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from torch_parity.compare.case import Case
from torch_parity.compare.data import Data
from torch_parity.compare.judge.judge import Judgement
from torch_parity.compare.judge.verdict import (
    CALLED,
    Names,
    free_running,
    lost,
    matches,
    no_bound,
    powerless,
    sentences,
    unused,
)
from torch_parity.compare.models import describe
from torch_parity.compare.runs.folder import resume_command
from torch_parity.compare.runs.summary import Summary, by_kind, worst_of
from torch_parity.compare.runs.training import StepRecord
from torch_parity.compare.show.fitted import Column, fitted
from torch_parity.compare.show.step_table import (
    OF_BOUND,
    step_table,
    verdict_in_table,
    zero_in_theory,
)
from torch_parity.compare.sources.pair import Pair

WIDE = 80  # columns of a terminal that has place for all that gradcheck measured


def show_case(console: Console, case: Case, data: Data, pair: Pair) -> None:
    """What is about to run, in three lines."""
    t = pair.targets
    scheduled = "" if case.schedule == "constant" else f" at first, by {case.schedule}"
    parts = "" if case.accumulate == 1 else f" in {case.accumulate} micro-batches"
    clipped = "" if case.clip_norm is None else f", gradients clipped to {case.clip_norm:g}"
    console.print(
        f"[bold]{escape(data.name)}[/]: {len(data.x_train)} train and {len(data.x_dev)} dev "
        f"samples, {escape(describe(pair.manual.net))}, {case.dtype}\n"
        f"loss {t.loss} ({case.reduction}), dropout p={case.p:g}, "
        f"L2 lambda={case.l2:g} by {case.l2_route}, L1 lambda={case.l1:g}, m={len(data.x_train)}\n"
        f"{case.optimizer} lr={case.lr:g}{scheduled}, {case.steps} steps of {case.batch} samples"
        f"{parts}{clipped}, {case.initializer}, seed {case.seed}",
        highlight=False,
        soft_wrap=True,
    )


def show(console: Console, summary: Summary, folder: Path) -> None:
    """The table of tensors, the scores, the diagnosis, where the curves lie, the verdict."""
    console.print(table(summary, console.width))
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
        f"{free_running(summary.drift, summary.envelope)}\n"
        f"Curves: {escape(str(folder))} (parity board {escape(folder.name)})\n"
        f"Made with {escape(', '.join(f'{k} {v}' for k, v in summary.made_with.items()))}",
        highlight=False,
        soft_wrap=True,
    )
    show_verdict(console, summary)


def show_verdict(console: Console, summary: Summary) -> None:
    """What a PASS does not cover, and the verdict."""
    _note(console, summary.notes)
    console.print(verdict(summary), highlight=False, soft_wrap=True)


def show_resumed(console: Console, step: int, case: Case, refused: tuple[str, ...]) -> None:
    """The step after which a run resumes, and which checkpoints could not be used."""
    _note(console, refused)
    console.print(f"resuming after step {step} of {case.steps}", highlight=False)


def show_how_to_resume(console: Console, folder: Path) -> None:
    """What to type after an interruption."""
    console.print(
        f"Resume with:  {escape(resume_command(folder))}", highlight=False, soft_wrap=True
    )


def rows(summary: Summary) -> Iterator[tuple[bool, tuple[str, ...]]]:
    """Per kind of tensor its worst over all layers and steps -> (passed, cells).

    difference is relative to the tensor's largest entry; of bound is the greatest share of its
    rounding bound that the side's operation took up in a replay, so 100% is a fault.
    """
    for group in by_kind(summary.worst.values()).values():
        names = [w.difference.name for w in group]
        w = worst_of(group)
        d = w.difference
        yield (
            d.passed,
            (
                _span(names),
                f"{d.relative:.1e}" if d.relative == d.relative else "none",
                d.name,
                str(w.step),
                *(_use(uses, names) for uses in summary.use.values()),
                verdict_in_table(d.verdict, CALLED),
            ),
        )


def table(summary: Summary, width: int) -> Table:
    """The rows, with what is wrong in red. On a narrow terminal, which of several tensors is the
    worst, and then the step, are left out."""
    columns = (
        Column("\ntensors", name=True),
        Column("greatest\ndifference"),
        Column("\nin", left_out=1, name=True),
        Column("\nstep", left_out=2),
        Column("of bound:\nmanual", legend=OF_BOUND),
        Column("\ntorch"),
        Column("\nverdict"),
    )
    found = [
        [*map(Text, cells), Text(said, "green" if passed else "red")]
        for passed, (*cells, said) in rows(summary)
    ]
    title = "manual against torch, each step from the same state"
    return fitted(columns, found, width, title, note(summary))


def note(summary: Summary) -> str:
    """What a reader of the rows may wonder about; often nothing."""
    kinds = by_kind(summary.worst.values()).values()
    return zero_in_theory(
        (_span([w.difference.name for w in group]), worst_of(group).difference) for group in kinds
    )


def _use(uses: dict[str, float], names: list[str]) -> str:
    greatest = max((uses[n] for n in names if n in uses), default=float("nan"))
    return f"{greatest:.0%}" if greatest < 10 else "over" if greatest > 10 else "none"


def verdict(summary: Summary) -> str:
    """PASS, FAIL or INTERRUPTED, and why, in one sentence."""
    stopped = f"[bold yellow]INTERRUPTED[/] after step {summary.steps} of {summary.planned}"
    if summary.failure:
        words = escape("\n".join(summary.failure.words))
        failed = f"[bold red]FAIL[/] in step {summary.failure.step}: {words}"
        return f"{failed}\n{stopped}" if summary.interrupted else failed
    if not summary.steps:
        return "[bold red]FAIL[/] no step was judged"
    if summary.unjudged:
        said = f"[bold yellow]UNJUDGED[/] {escape(no_bound(summary.unjudged))}."
        return f"{said}\n{stopped}" if summary.interrupted else said
    seen = matches(len(summary.worst), summary.steps, summary.replays)
    return f"{stopped}: so far {seen}" if summary.interrupted else f"[bold green]PASS[/] {seen}"


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
    """W1-3 rather than W1 W2 W3, also for gradients, which are computed last layer first; and
    blocks.0-1.fc1-2.weight."""
    numbers = zip(*(map(int, re.findall(r"\d+", name)) for name in names), strict=True)
    spans = iter([f"{min(n)}-{max(n)}" if min(n) < max(n) else f"{n[0]}" for n in numbers])
    return re.sub(r"\d+", lambda _: next(spans), names[0])


def show_step(console: Console, step: int, steps: int) -> None:
    """The step that the report describes."""
    console.print(f"step {step} of {steps}", highlight=False)


def show_lost(console: Console, record: StepRecord) -> None:
    """Which copies diverged when trained on their own, if any."""
    if record.lost:
        words = escape("\n".join(lost(record.lost)))
        console.print(f"[bold red]FAIL[/] {words}", highlight=False, soft_wrap=True)


def show_cost(console: Console, record: StepRecord) -> None:
    """The time that judging took, beside the time of the two steps."""
    console.print(
        f"Judging this step took {record.judging * 1e3:.0f} ms, computing it in NumPy and in torch "
        f"{record.stepping * 1e3:.0f} ms.",
        highlight=False,
    )


def show_judgement(
    console: Console, j: Judgement, wrong_only: bool = False, called: Names = CALLED
) -> None:
    """Every tensor of a step with both replays, then the verdict in words."""
    console.print(step_table(j, wrong_only, called, console.width))
    show_judgement_verdict(console, j, called)


def show_judgement_verdict(console: Console, j: Judgement, called: Names = CALLED) -> None:
    """What a PASS does not cover, and the verdict."""
    if j.passed:
        _note(console, (*unused(j.given_zeros), *powerless(j.zeros)))
        console.print(f"[bold green]PASS[/] {len(j.differences)} tensors match", highlight=False)
        return
    colour = "red" if j.outcome == "FAIL" else "yellow"
    console.print(f"[bold {colour}]{j.outcome}[/]", end=" ")
    for sentence in sentences(j, called):
        console.print(escape(sentence), highlight=False, soft_wrap=True)


def _note(console: Console, notes: Iterable[str]) -> None:
    for note in notes:
        console.print(f"[bold yellow]NOTE[/] {escape(note)}", highlight=False, soft_wrap=True)
