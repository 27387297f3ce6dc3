"""The report of a grid: the number of cases of each verdict, the kinds of failures, and a command
that repeats one case of each kind."""

import json
import shlex
from collections import defaultdict
from dataclasses import asdict, dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from torch_parity.compare.grid.cases import Grid, rerun
from torch_parity.compare.grid.outcome import Outcome
from torch_parity.compare.judge.outcome import Answer
from torch_parity.compare.numbers import json_safe

VERDICTS = ("passed", "failed", "unjudged", "refused", "error")


@dataclass(frozen=True)
class Kind:
    """Cases with the same verdict and the same fault; example is a command that judges one of them,
    and detail its verdict in words."""

    verdict: str
    kind: str
    cases: int
    example: str | None
    detail: str | None


@dataclass(frozen=True)
class Rate:
    """The number of cases judged since the command started, of processes, and of seconds."""

    cases: int
    cores: int
    seconds: float

    @property
    def per_second_and_core(self) -> float:
        return self.cases / self.seconds / self.cores


@dataclass(frozen=True)
class Totals:
    """cases is how many the grid has; by_verdict adds up to it once all are judged."""

    cases: int
    by_verdict: dict[str, int]
    kinds: tuple[Kind, ...]
    rate: Rate | None

    @property
    def judged(self) -> int:
        return sum(self.by_verdict.values())

    @property
    def outcome(self) -> Answer:
        """PASS if at least one case passed, and every other one contradicts itself."""
        count = self.by_verdict
        some_judged = count["passed"] + count["unjudged"] > 0
        if count["failed"] or count["error"] or not some_judged or self.judged < self.cases:
            return "FAIL"
        return "UNJUDGED" if count["unjudged"] else "PASS"

    @property
    def passed(self) -> bool:
        """Whether it is a PASS."""
        return self.outcome == "PASS"


def totals(grid: Grid, outcomes: dict[int, Outcome], rate: Rate | None) -> Totals:
    """Everything the table shows, the most frequent kind first."""
    groups: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for number in sorted(outcomes):
        groups[outcomes[number].verdict, outcomes[number].kind].append(outcomes[number])
    counts = dict.fromkeys(VERDICTS, 0)
    for (verdict, _), group in groups.items():
        counts[verdict] += len(group)
    kinds = (
        Kind(verdict, kind, len(group), _command(grid, group[0]), group[0].detail)
        for (verdict, kind), group in groups.items()
        if verdict != "passed"
    )
    by_count = sorted(kinds, key=lambda k: (VERDICTS.index(k.verdict), -k.cases))
    return Totals(len(grid), counts, tuple(by_count), rate)


def to_json(found: Totals) -> str:
    """The report as JSON."""
    record = {
        "outcome": found.outcome,
        "passed": found.passed,
        "judged": found.judged,
        **asdict(found),
    }
    if found.rate:
        record["rate"]["per_second_and_core"] = found.rate.per_second_and_core
    return json.dumps(json_safe(record))


def show(console: Console, found: Totals) -> None:
    """Print the table, the kinds that did not pass with a command each, and the rate."""
    t = Table(box=SIMPLE_HEAD)
    for header in ("cases", *VERDICTS):
        t.add_column(header, justify="right")
    t.add_row(*(f"{n:,}" for n in (found.cases, *found.by_verdict.values())))
    console.print(t)
    for k in found.kinds:
        colour = "yellow" if k.verdict in ("unjudged", "refused") else "red"
        lines = [f"[{colour}]{k.verdict}[/] {k.cases:,}: {escape(k.kind)}"]
        if k.detail and k.detail != k.kind:
            lines.append(f"  {escape(k.detail)}")
        if k.example:
            lines.append(f"  {escape(k.example)}")
        console.print("\n".join(lines), highlight=False, soft_wrap=True)
    if r := found.rate:
        console.print(
            f"{r.cases:,} cases in {r.seconds:.1f} s on {r.cores} core{'s' * (r.cores > 1)}: "
            f"{r.per_second_and_core:.1f} cases per second and core",
            highlight=False,
            soft_wrap=True,
        )


def verdict(found: Totals) -> str:
    """The verdict in one line."""
    passed, failed, unjudged, refused, errors = found.by_verdict.values()
    if found.judged < found.cases:
        return f"[bold yellow]INTERRUPTED[/] after {found.judged:,} of {found.cases:,} cases"
    if failed or errors:
        return f"[bold red]FAIL[/] {failed + errors:,} of {found.cases:,} cases did not pass"
    if unjudged:
        return f"[bold yellow]UNJUDGED[/] {unjudged:,} of {found.cases:,} cases"
    also = f"; {refused:,} contradict themselves and were not judged" if refused else ""
    return f"[bold green]PASS[/] {passed:,} cases, all steps right{also}"


def _command(grid: Grid, outcome: Outcome) -> str | None:
    case = grid.cases.get(outcome.case)
    return shlex.join(rerun(case)) if case else None
