"""The run on a terminal: one table, two scores, one verdict."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from torch_parity.compare.case import Case
from torch_parity.compare.data import Data
from torch_parity.compare.judge.differences import Difference
from torch_parity.compare.judge.judge import SIDES, Judgement
from torch_parity.compare.judge.replayed import Replayed
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
from torch_parity.compare.runs.folder import resume_command
from torch_parity.compare.runs.summary import Summary, by_kind, worst_of
from torch_parity.compare.runs.training import StepRecord
from torch_parity.compare.sources.pair import Pair

OF_BOUND = (
    "of bound: the error, as a share of the largest error that rounding can cause; above 100% the "
    "operation is wrong"
)
WIDE = 80  # columns of a terminal that has place for the whole table of a step
LONG_NAME = 16  # characters of a tensor's name that stay in one line
MOST_ROWS = 500  # of a table: a terminal shows some thousand rows a second
LEGEND = (
    f"{OF_BOUND}\n"
    "smallest fault: the smallest error that is noticed, relative to the tensor's largest entry; "
    "any: every error is"
)


def show_case(console: Console, case: Case, data: Data, pair: Pair) -> None:
    """What is about to run, in three lines."""
    sizes = "-".join(str(n) for n in pair.manual.net.sizes)
    t = pair.targets
    scheduled = "" if case.schedule == "constant" else f" at first, by {case.schedule}"
    parts = "" if case.accumulate == 1 else f" in {case.accumulate} micro-batches"
    clipped = "" if case.clip_norm is None else f", gradients clipped to {case.clip_norm:g}"
    console.print(
        f"[bold]{escape(data.name)}[/]: {len(data.x_train)} train and {len(data.x_dev)} dev "
        f"samples, network {sizes} ({case.activation}, {t.output} output), {case.dtype}\n"
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
                _told(d.verdict, CALLED),
            ),
        )


def table(summary: Summary, width: int) -> Table:
    """The rows, with what is wrong in red. On a terminal of this width that has no place for two
    columns of module paths, which of several tensors is the worst is left out."""
    t = Table(
        title="manual against torch, each step from the same state",
        caption=OF_BOUND,
        caption_justify="left",
        box=SIMPLE_HEAD,
    )
    found = list(rows(summary))
    longest = max((len(name) for name in summary.worst), default=0)
    where = 2 * longest + len("  difference  step  of bound: manual  torch  verdict  ") <= width
    spans = max((len(cells[0]) for _, cells in found), default=0)
    t.add_column("\ntensors", overflow="fold", min_width=min(spans, LONG_NAME))
    t.add_column("greatest\ndifference", justify="right")
    if where:
        t.add_column("\nin", overflow="fold")
    for header in ("\nstep", "of bound:\nmanual", "\ntorch", "\nverdict"):
        t.add_column(header, justify="right")
    for passed, (tensors, difference, worst, *cells, said) in found:
        inside = [worst] if where else []
        coloured = f"[{'green' if passed else 'red'}]{said}[/]"
        t.add_row(tensors, difference, *inside, *cells, coloured)
    return t


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
    console.print(_table(j, wrong_only, called, console.width))
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


def _table(j: Judgement, wrong_only: bool, called: Names, width: int) -> Table:
    """Every tensor of a step, its difference and both replays."""
    t, shown = _without_rows(max((len(d.name) for d in j.differences), default=0), called, width)
    by_hand, by_torch = ({r.name: r for r in j.replays.get(side, ())} for side in SIDES)
    given = [d for d in j.differences if _is_given(d)]
    same = given if all(d.passed for d in given) else []
    if same:
        gap = max(d.relative for d in same)
        row = f"given ({len(same)})", "", f"{gap:.1e}", "none", "none", "any", "[green]match[/]"
        t.add_row(*(row[n] for n in shown))
    rest = j.differences if not same else [d for d in j.differences if not _is_given(d)]
    chosen = _worth_a_row(rest)
    for d in chosen:
        replays = [by_hand.get(d.name), by_torch.get(d.name)]
        right = not any(r and r.wrong for r in replays)
        if wrong_only and right and (d.passed or any(replays)):
            continue
        verdict = _told(d.verdict, called) if right else _blame(replays, called)
        cells = (
            d.name,
            _maker(replays[0] or replays[1]),
            f"{d.relative:.1e}" if d.relative == d.relative else "none",
            *(_share(r) for r in replays),
            _power(replays, d.bound),
            f"[{'green' if right and d.passed else 'yellow' if right else 'red'}]{verdict}[/]",
        )
        t.add_row(*(cells[n] for n in shown))
    if left := len(rest) - len(chosen):
        t.add_row(f"{left:,} more; --json has all")
    return t


def _without_rows(longest: int, called: Names, width: int) -> tuple[Table, Sequence[int]]:
    """The columns of `_table` -> the table, and which cells of a row it has. On a terminal narrower
    than WIDE it has no operations and no smallest faults, so that the names have a place."""
    number: dict[str, Any] = {"justify": "right", "no_wrap": True}
    columns: tuple[tuple[str, dict[str, Any]], ...] = (
        ("\ntensor", {"overflow": "fold", "min_width": min(longest, LONG_NAME)}),
        ("\nmade by", {"overflow": "fold"}),
        ("\ndifference", number),
        (f"of bound:\n{called['manual']}", number),
        (f"\n{called['torch']}", number),
        ("smallest\nfault", number),
        ("\nverdict", number),
    )
    shown = range(len(columns)) if width >= WIDE else (0, 2, 3, 4, 6)
    legend = LEGEND if width >= WIDE else OF_BOUND
    t = Table(box=SIMPLE_HEAD, caption=legend, caption_justify="left")
    for header, how in (columns[n] for n in shown):
        t.add_column(header, **how)
    return t, shown


def _is_given(d: Difference) -> bool:
    return d.name.startswith("given ")


def _worth_a_row(differences: Sequence[Difference]) -> Sequence[Difference]:
    """All of them, or, of very many, the first that did not pass and then the first that did."""
    if len(differences) <= MOST_ROWS:
        return differences
    chosen = sorted(differences, key=lambda d: d.passed)[:MOST_ROWS]
    names = {d.name for d in chosen}
    return [d for d in differences if d.name in names]


def _share(r: Replayed | None) -> str:
    if r is None or r.use != r.use:
        return "none"
    return f"{r.use:.0%}" if r.use < 10 else f"{r.use:.0e} x" if r.use < 1e9 else "> 1e9 x"


def _maker(r: Replayed | None) -> str:
    """The operation without its suffix: the tensor's name says whether a backward computed it."""
    return r.operation.removesuffix("_parameters").removesuffix("_backward") if r else ""


def _power(replays: list[Replayed | None], compared: float) -> str:
    """The smallest fault that would have been noticed on either side; for a tensor that was not
    replayed, the smallest difference."""
    if not any(replays):
        return f"{compared:.0e}" if compared else "any"
    power = max(r.power for r in replays if r)
    if not power:
        return "any"
    return f"{power:.0e}" if power < float("inf") else "all 0"


def _told(verdict: str, called: Names) -> str:
    """The verdict as a table says it, with the side's own name where the tensor is missing."""
    if verdict == "rounding":
        return "match"
    missing = next((s for s in SIDES if verdict == f"no {s}"), None)
    return f"not in {called[missing]}" if missing else verdict


def _blame(replays: list[Replayed | None], called: Names) -> str:
    wrong = [side for side, r in zip(SIDES, replays, strict=True) if r and r.wrong]
    return "both wrong" if len(wrong) == 2 else f"{called[wrong[0]]} wrong"
