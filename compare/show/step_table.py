"""One step as a table: every tensor, its difference, and its replay on both sides."""

from collections.abc import Iterable, Iterator, Sequence

from rich.table import Table
from rich.text import Text

from torch_parity.compare.judge.differences import Difference
from torch_parity.compare.judge.judge import SIDES, Judgement
from torch_parity.compare.judge.replayed import Replayed
from torch_parity.compare.judge.verdict import Names
from torch_parity.compare.runs.stored import StoredDifference
from torch_parity.compare.show.fitted import Column, fitted

OF_BOUND = (
    "of bound: the error, as a share of the largest error that rounding can cause; above 100% the "
    "operation is wrong"
)
SMALLEST_FAULT = (
    "smallest fault: the smallest error that is noticed, relative to the tensor's largest entry; "
    "any: every error is"
)
LARGE = 0.25  # a relative difference that a reader does not expect in a match
MOST_ROWS = 500  # of a table: a terminal shows some thousand rows a second


def step_table(j: Judgement, wrong_only: bool, called: Names, width: int) -> Table:
    """Every tensor of a step, its difference and both replays, for a terminal of this width. A
    narrow one leaves out the smallest faults, and then the operations, to have room for names."""
    columns = (
        Column("\ntensor", name=True),
        Column("\nmade by", left_out=2, breaks=14, name=True),
        Column("\ndifference"),
        Column(f"of bound:\n{called['manual']}", breaks=10, legend=OF_BOUND),
        Column(f"\n{called['torch']}", breaks=10),
        Column("smallest\nfault", left_out=1, legend=SMALLEST_FAULT),
        Column("\nverdict", breaks=11),
    )
    chosen = _worth_a_row(j.differences)
    note = zero_in_theory((d.name, d) for d in chosen)
    return fitted(columns, [*_rows(j, wrong_only, called)], width, note=note)


def zero_in_theory(differences: Iterable[tuple[str, Difference | StoredDifference]]) -> str:
    """Why tensors match although their difference is as large as they are; empty if none does."""
    names = [name for name, d in differences if d.passed and d.relative > LARGE]
    if not names:
        return ""
    listed = ", ".join(names[:3]) + (", ..." if names[3:] else "")
    return (
        f"a match with a difference above {LARGE:.0%} ({listed}): the tensor is 0 in theory, or so "
        "close to 0 that its numbers are rounding on both sides, and within the bound"
    )


def _rows(j: Judgement, wrong_only: bool, called: Names) -> Iterator[list[Text]]:
    """What was given in one row, if it is the same on both sides."""
    by_hand, by_torch = ({r.name: r for r in j.replays.get(side, ())} for side in SIDES)
    given = [d for d in j.differences if _is_given(d)]
    same = given if all(d.passed for d in given) else []
    if same:
        gap = max(d.relative for d in same)
        cells = f"given ({len(same)})", "", f"{gap:.1e}", "none", "none", "any"
        yield [*map(Text, cells), Text("match", "green")]
    rest = j.differences if not same else [d for d in j.differences if not _is_given(d)]
    chosen = _worth_a_row(rest)
    for d in chosen:
        replays = [by_hand.get(d.name), by_torch.get(d.name)]
        right = not any(r and r.wrong for r in replays)
        if wrong_only and right and (d.passed or any(replays)):
            continue
        verdict = verdict_in_table(d.verdict, called) if right else _blame(replays, called)
        texts = (
            d.name,
            _maker(replays[0] or replays[1]),
            f"{d.relative:.1e}" if d.relative == d.relative else "none",
            *(_share(r) for r in replays),
            _power(replays, d.bound),
        )
        colour = "green" if right and d.passed else "yellow" if right else "red"
        yield [*map(Text, texts), Text(verdict, colour)]
    if left := len(rest) - len(chosen):
        yield [Text(f"{left:,} more; --json has all"), *[Text()] * 6]


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


def verdict_in_table(verdict: str, called: Names) -> str:
    """The verdict as a table says it, with the side's own name where the tensor is missing."""
    if verdict == "rounding":
        return "match"
    missing = next((s for s in SIDES if verdict == f"no {s}"), None)
    return f"not in {called[missing]}" if missing else verdict


def _blame(replays: list[Replayed | None], called: Names) -> str:
    wrong = [side for side, r in zip(SIDES, replays, strict=True) if r and r.wrong]
    return "both wrong" if len(wrong) == 2 else f"{called[wrong[0]]} wrong"
