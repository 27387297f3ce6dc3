"""The content of the page about a run folder, written by `parity train`, a lesson or a test."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from torch_parity.compare import case
from torch_parity.compare.errors import InputError
from torch_parity.compare.judge.judge import SIDES
from torch_parity.compare.judge.outcome import STATUS
from torch_parity.compare.judge.verdict import free_running
from torch_parity.compare.runs import answers, events, stored
from torch_parity.compare.runs.answers import Status
from torch_parity.compare.runs.events import Picture
from torch_parity.compare.runs.stored import (
    StoredClaim,
    StoredDifference,
    StoredSummary,
    StoredTable,
)
from torch_parity.compare.show import charts
from torch_parity.compare.show.step_table import zero_in_theory
from torch_parity.manual.bias_variance import Diagnosis


@dataclass(frozen=True)
class Row:
    """One tensor of the parity table; uses are the shares of its bound, by side."""

    difference: StoredDifference
    uses: tuple[float | None, ...]
    verdict: str
    wrong: bool
    step: int | None = None


@dataclass(frozen=True)
class Page:
    """status and headline are the verdict in one line, words the rest of it, a line each. kind says
    what the page is about, legend what the lines of the charts are."""

    name: str
    status: Status
    headline: str
    words: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    text: str = ""
    claims: tuple[StoredClaim, ...] = ()
    score: str = ""
    scores: Mapping[str, Mapping[str, float]] | None = None
    diagnosis: Diagnosis | None = None
    kind: str = "Parity of manual NumPy and PyTorch"
    legend: str = (
        "The thick pale line is manual, the thin one over it torch; solid is train, dotted dev."
    )
    curves: tuple[tuple[str, tuple[Markup, ...]], ...] = ()
    sides: tuple[str, ...] = SIDES
    rows: tuple[Row, ...] = ()
    tables: tuple[StoredTable, ...] = ()
    pictures: tuple[Picture, ...] = ()
    case: Mapping[str, Any] | None = None
    made_with: Mapping[str, str] | None = None

    @property
    def note(self) -> str:
        """What a reader of the rows may wonder about; often nothing."""
        return zero_in_theory((row.difference.name, row.difference) for row in self.rows)


def of(folder: Path) -> Page:
    """The page about a folder.

    Raises:
        InputError: it is not a run folder, or a file in it is damaged.
    """
    if (folder / "case.toml").is_file():
        return _of_training(folder)
    if (folder / "modules.json").is_file():
        return _of_modules(folder)
    if (folder / "lesson.json").is_file():
        return _of_lesson(folder)
    if (folder / "report.json").is_file():
        return _of_report(folder)
    if pictures := _pictures(folder):
        return Page(
            folder.name, "NO VERDICT", "This folder holds only pictures.", pictures=pictures
        )
    raise InputError(
        f"{folder} is not a run: it has no case.toml, modules.json, lesson.json, report.json or "
        "picture; a lesson writes them when it ends"
    )


def _of_training(folder: Path) -> Page:
    chosen = case.load(folder / "case.toml")
    summary = None
    if (folder / "summary.json").exists():
        summary = stored.read(folder / "summary.json", StoredSummary)
    drawn, last = charts.of_training(folder, summary.score if summary else "accuracy")
    about: dict[str, Any] = {
        "kind": f"{chosen.model} on {Path(chosen.data).name}: hand-written NumPy against PyTorch",
        "curves": (("", drawn),),
        "pictures": _pictures(folder),
        "case": chosen.model_dump(),
    }
    if summary is None:
        headline = (
            "The run is not finished or was stopped: it has no summary.json. Its curves end at "
            f"step {last} of {chosen.steps}."
        )
        return Page(folder.name, "UNFINISHED", headline, **about)
    status, headline, words = answers.of_training(summary, chosen.steps, folder)
    notes = []
    if last < summary.steps:
        notes.append(
            f"The curves end at step {last} of {summary.steps}: the rest of the events files is "
            "missing or damaged."
        )
    return Page(
        folder.name,
        status,
        headline,
        words,
        (*_free(summary), *notes),
        score=summary.score,
        scores=summary.scores,
        diagnosis=summary.diagnosis,
        rows=tuple(_worst(summary)),
        made_with=summary.made_with,
        **about,
    )


def _of_modules(folder: Path) -> Page:
    drawn, last = charts.of_modules(folder)
    about: dict[str, Any] = {
        "kind": "Two modules, trained side by side",
        "curves": (("", drawn),),
        "pictures": _pictures(folder),
        "case": stored.read(folder / "modules.json", stored.StoredModules).about,
        "legend": "The thick pale line is a, the thin one over it b.",
    }
    if not (folder / "summary.json").exists():
        headline = (
            "The run is not finished or was stopped: it has no summary.json. Its curves end at "
            f"step {last}."
        )
        return Page(folder.name, "UNFINISHED", headline, **about)
    summary = stored.read(folder / "summary.json", stored.StoredTraining)
    first, *words = summary.verdict or ("",)
    notes = (f"The curves end at step {last} of {summary.steps}.",) * (last < summary.steps)
    worst = (
        (name, f"{found.use:.0%}" if found.use < 10 else "over", str(found.step))
        for name, found in summary.worst.items()
    )
    table = StoredTable(
        title="Every result of b: the greatest share of its rounding bound that it used",
        columns=("result", "of bound", "step"),
        rows=tuple(worst),
    )
    return Page(
        folder.name,
        summary.outcome,
        first.removeprefix(summary.outcome).strip(),
        tuple(words),
        notes,
        tables=(table,),
        made_with=summary.made_with,
        **about,
    )


def _free(summary: StoredSummary) -> tuple[str, ...]:
    return (free_running(summary.drift, summary.envelope),)


def _worst(summary: StoredSummary) -> Iterable[Row]:
    for name, worst in summary.worst.items():
        uses = tuple(summary.use.get(side, {}).get(name) for side in SIDES)
        wrong = [s for s, use in zip(SIDES, uses, strict=True) if use is not None and not use <= 1]
        yield _row(worst.difference, uses, wrong, worst.step)


def _row(
    d: StoredDifference,
    uses: tuple[float | None, ...],
    wrong: Sequence[str],
    step: int | None = None,
) -> Row:
    agrees = "match" if d.passed else d.verdict
    verdict = f"{' and '.join(wrong)} wrong" if wrong else agrees
    return Row(d, uses, verdict, bool(wrong) or not d.passed, step)


def _of_lesson(folder: Path) -> Page:
    lesson = stored.read(folder / "lesson.json", stored.StoredLesson)
    agreed = lesson.conclusion[-1].text if lesson.conclusion else "Nothing was concluded."
    trainings = sorted((p.parent for p in folder.glob("*/manual")), key=_natural)
    return Page(
        folder.name,
        answers.of_lesson(lesson),
        agreed,
        kind="Lesson, in hand-written NumPy and in PyTorch",
        notes=(f"{'; '.join(lesson.headings)} (seed {lesson.seed})",),
        text=lesson.text,
        claims=lesson.conclusion,
        curves=tuple((t.name, charts.of_training(t, "accuracy")[0]) for t in trainings),
        tables=lesson.tables,
        pictures=_pictures(folder),
        made_with=lesson.made_with,
    )


def _of_report(folder: Path) -> Page:
    report = stored.read_report(folder / "report.json")
    if isinstance(report, stored.StoredModels):
        return _of_report_on_models(folder, report)
    first, rest = _verdict(folder)
    by_name = {side: {r.name: r for r in of_side} for side, of_side in report.replays.items()}
    rows = []
    for d in report.differences:
        replays = [by_name.get(side, {}).get(d.name) for side in SIDES]
        named = zip(report.called, replays, strict=True)
        wrong = [called for called, r in named if r and r.outcome not in ("right", "not judged")]
        rows.append(_row(d, tuple(r.use if r and r.use == r.use else None for r in replays), wrong))
    return Page(
        folder.name,
        report.outcome,
        first[len(report.outcome) + 1 :],
        rest,
        report.conventions,
        kind=f"A test: {report.called[0]} against {report.called[1]}",
        sides=report.called,
        rows=tuple(rows),
        pictures=_pictures(folder),
    )


def _of_report_on_models(folder: Path, report: stored.StoredModels) -> Page:
    first, rest = _verdict(folder)
    last = report.called[-1]
    results = tuple(
        (r.name, r.outcome, str(list(r.index)), f"{r.a:.9g}", f"{r.b:.9g}", f"{r.bound:.2g}")
        for r in report.results
    )
    table = StoredTable(
        title=f"Every result of {last}, at its greatest difference",
        columns=("result", "verdict", "index", *report.called, "allowed"),
        rows=results,
    )
    return Page(
        folder.name,
        report.outcome,
        first[len(report.outcome) + 1 :],
        rest,
        kind=f"A test: {' against '.join(report.called)}",
        tables=(table,) if results else (),
        pictures=_pictures(folder),
    )


def _verdict(folder: Path) -> tuple[str, tuple[str, ...]]:
    """The verdict in report.txt: its first line, and the rest.

    Raises:
        InputError: there is none.
    """
    lines = stored.text(folder / "report.txt").splitlines()
    begins = next((i for i, line in enumerate(lines) if line.startswith((*STATUS,))), None)
    if begins is None:
        raise InputError(f"{folder / 'report.txt'} holds no verdict; run the test again")
    return lines[begins], tuple(lines[begins + 1 :])


def _pictures(folder: Path) -> tuple[Picture, ...]:
    """The folder's own PNG files, then what its events hold under other names."""
    files = tuple(
        Picture(file.stem, uri)
        for file in sorted(folder.glob("*.png"))
        if (uri := events.data_uri(file.read_bytes()))
    )
    written = {file.name for file in files}
    below = (folder, *(folder / side for side in ("manual", "torch", "parity")))
    drawn = (picture for at in below for picture in events.read(at).pictures)
    return (*files, *(p for p in drawn if p.name.partition(",")[0] not in written))


def _natural(folder: Path) -> list[Any]:
    """2 units before 20 units."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", folder.name)]
