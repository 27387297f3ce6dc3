"""`parity ranks`: judge the steps that the ranks of a distributed run recorded."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from torch_parity.compare import threads
from torch_parity.compare.judge.outcome import Answer
from torch_parity.compare.judge.report import Report
from torch_parity.compare.show.terminal import show_judgement
from torch_parity.compare.sources.ranks import RankedStep, judge_run


def judge_ranks(folder: Path) -> Answer:
    """Judge every recorded step, show them up to the first failing one -> the answer.

    Raises:
        InputError: see judge_run.
    """
    console = Console()
    table = Table(box=None, pad_edge=False)
    for header in ("step", "against", "tensors", "greatest difference", "of bound"):
        table.add_column(header, justify="left" if header == "against" else "right")
    with threads.limited(1):
        last: RankedStep | None = None
        for last in judge_run(folder):
            for report in (last.by_hand, last.one_process):
                table.add_row(str(last.step), *_cells(report))
            if not last.passed:
                break
    assert last is not None, "a run without traces is bad input"
    console.print(table)
    if last.passed:
        console.print(
            f"[bold green]PASS[/] {last.ranks} ranks, the same shards in NumPy and one process "
            f"agree in all {last.step} steps",
            highlight=False,
            soft_wrap=True,
        )
        return "PASS"
    failed = last.one_process if last.by_hand.passed else last.by_hand
    console.print(f"step {last.step}:", highlight=False)
    show_judgement(console, failed.judgement, wrong_only=True, called=failed.names)
    return last.outcome


def _cells(report: Report) -> tuple[str, ...]:
    """Compared with what, how many tensors, the worst difference, the greatest share of a bound."""
    j = report.judgement
    worst = max(j.differences, key=lambda d: (not d.passed, d.relative))
    uses = [r.use for replayed in j.replays.values() for r in replayed]
    use = max((u for u in uses if u == u), default=float("nan"))
    return (
        report.called[0],
        str(len(j.differences)),
        f"{worst.relative:.1e} {worst.name}",
        f"{use:.0%}" if use < 10 else "over",
    )
