"""The verdict of a run, read from the files in its folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch_parity.compare import case
from torch_parity.compare.judge.verdict import matches, no_bound
from torch_parity.compare.runs import stored
from torch_parity.compare.runs.stored import StoredLesson, StoredSummary

Status = Literal["PASS", "FAIL", "UNJUDGED", "UNFINISHED", "NO VERDICT"]


@dataclass(frozen=True)
class RunAnswer:
    """What a run is, how it ended, after how many steps, and its score on dev (manual's)."""

    kind: str
    status: Status
    steps: int | None = None
    score: tuple[str, float] | None = None


KEPT = ("case.toml", "modules.json", "lesson.json", "report.json")


def is_run(folder: Path) -> bool:
    """Whether a command of parity made this folder."""
    return any((folder / name).is_file() for name in KEPT)


def answer(folder: Path) -> RunAnswer:
    """The answer of the run in a folder; NO VERDICT if nothing in it says one.

    Raises:
        InputError: a file of it is damaged.
    """
    if (folder / "case.toml").is_file():
        chosen = case.load(folder / "case.toml")
        kind = f"{chosen.model} on {Path(chosen.data).name}"
        if not (folder / "summary.json").exists():
            return RunAnswer(kind, "UNFINISHED")
        summary = stored.read(folder / "summary.json", StoredSummary)
        value = summary.scores.get("manual", {}).get(f"{summary.score}/dev")
        score = None if value is None or value != value else (summary.score, value)
        status, _, _ = of_training(summary, chosen.steps, folder)
        return RunAnswer(kind, status, summary.steps, score)
    if (folder / "modules.json").is_file():
        if not (folder / "summary.json").exists():
            return RunAnswer("two modules", "UNFINISHED")
        training = stored.read(folder / "summary.json", stored.StoredTraining)
        return RunAnswer("two modules", training.outcome, training.steps)
    if (folder / "lesson.json").is_file():
        lesson = stored.read(folder / "lesson.json", StoredLesson)
        return RunAnswer(f"lesson {lesson.lesson}", of_lesson(lesson))
    if (folder / "report.json").is_file():
        report = stored.read_report(folder / "report.json")
        return RunAnswer("failed test", report.outcome)
    return RunAnswer("pictures", "NO VERDICT")


def verdict_of_training(folder: Path, steps: int) -> tuple[Status, str, tuple[str, ...]]:
    """The verdict that a training of so many steps left: in one word, one line, and the rest.

    Raises:
        InputError: it left none, or it is damaged.
    """
    return of_training(stored.read(folder / "summary.json", StoredSummary), steps, folder)


def of_lesson(lesson: StoredLesson) -> Status:
    """PASS if both sides agreed and the lesson's last sentence holds."""
    held = lesson.passed and all(c.holds for c in lesson.conclusion[-1:])
    return "PASS" if held else "FAIL"


def _gradcheck(folder: Path) -> stored.StoredGradcheck | None:
    file = folder / "gradcheck.json"
    return stored.read(file, stored.StoredGradcheck) if file.exists() else None


def of_training(
    summary: StoredSummary, steps: int, folder: Path
) -> tuple[Status, str, tuple[str, ...]]:
    """Status, headline and more lines: PASS only if every file of the run supports it."""
    gradients = _gradcheck(folder)
    if summary.failure:
        first, *rest = summary.failure.words
        return "FAIL", f"In step {summary.failure.step}: {first}", tuple(rest)
    if gradients and not gradients.passed:
        return "FAIL", f"Gradients: {gradients.failure or 'nothing was checked'}", ()
    if gradients is None and summary.gradients_passed is not None:
        return "FAIL", "gradcheck.json is missing: what --gradcheck found is not known.", ()
    bad = [name for name, worst in summary.worst.items() if worst.difference.failed]
    if bad or not summary.worst:
        return "FAIL", f"Tensors that do not match: {', '.join(bad) or 'none was judged'}.", ()
    if summary.unjudged:
        begins = min(summary.unjudged.values())
        return "UNJUDGED", f"{no_bound(summary.unjudged)} (first in step {begins}).", ()
    if not summary.passed:
        return "FAIL", "The run was not finished.", ()
    if summary.steps != steps:
        return "UNFINISHED", f"Only {summary.steps} of {steps} steps were judged.", ()
    exactly = (
        f" The gradients of {len(gradients.steps)} steps equal the exact derivative to rounding."
        if gradients
        else ""
    )
    return (
        "PASS",
        f"{matches(len(summary.worst), summary.steps, summary.replays)}.{exactly}",
        (),
    )
