"""The result of training two modules side by side: fields to assert, the verdict, the curves."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch_parity.compare.aten.pair_report import ModulesReport
from torch_parity.compare.judge.outcome import Answer, Required
from torch_parity.compare.judge.verdict import free_running
from torch_parity.compare.numbers import json_safe
from torch_parity.compare.runs.events import Curve
from torch_parity.compare.runs.modules_training import RUNS, ModulesStep

Curves = Mapping[str, Mapping[str, Curve]]
# Two right trainings end about as far apart as one and its perturbed copy; so many times as far is
# no rounding.
FAR = 1000


@dataclass(frozen=True)
class WorstResult:
    """The greatest share of its bound that a result of b used in a judged step, and which step."""

    use: float
    step: int


@dataclass(frozen=True, repr=False)
class TrainingReport(Required):
    """Two modules, trained side by side: is each step of b, taken from a's state, that of a?

    steps were taken, judged of them were judged whole. wrong_step is the first wrong one, and
    report says what is wrong in it. partly are the steps in which nothing is wrong but not
    everything was judged, and doubt is the report on the first of them; not_judged has the other
    steps, by reason. lost says of each run that is no longer finite what made it so.

    curves has by run (a, b, perturbed_copy, parity) and tag the steps and the values, the same
    numbers as the TensorBoard files in folder. drift is how far the two ended apart when trained on
    their own, envelope how far a perturbed copy of a ended from a. worst has the results by b's
    names.
    """

    steps: int
    judged: int
    wrong_step: int | None
    report: ModulesReport | None
    partly: tuple[int, ...]
    doubt: ModulesReport | None
    not_judged: Mapping[str, tuple[int, ...]]
    lost: Mapping[str, str]
    worst: Mapping[str, WorstResult]
    curves: Curves
    drift: float
    envelope: float
    called: tuple[str, str]
    made_with: Mapping[str, str]
    folder: Path | None
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> Answer:
        """FAIL too where a run is no longer finite; UNJUDGED where a step was not judged whole, or
        where the two end too far apart although each step is right."""
        if self.wrong_step is not None or self.lost:
            return "FAIL"
        return "PASS" if self.judged == self.steps > 0 and not self.far_apart else "UNJUDGED"

    @property
    def far_apart(self) -> bool:
        """Rounding does not explain how far the two ended apart."""
        return self.drift > FAR * self.envelope > 0

    @property
    def causes(self) -> tuple[str, ...]:
        """The known mistakes that explain the first wrong step, as ModulesReport.causes."""
        return self.report.causes if self.report is not None else ()

    @property
    def verdict(self) -> str:
        """In words: the answer, what is wrong in the first wrong step, what was not judged."""
        return "\n".join(self._sentences())

    def _sentences(self) -> Iterator[str]:
        first, second = self.called
        yield (
            f"{self.outcome} {self.judged} of {self.steps} steps judged, each from the state of "
            f"{first}: " + self._found
        )
        for who, what in self.lost.items():
            yield f"Stopped after step {self.steps}: {who} is no longer finite. {what}."
        if self.report is not None:
            yield from _of_step(self.wrong_step or 0, self.report)
        if self.doubt is not None:
            yield f"Judged in part: {_listed(self.partly)}."
            if self.partly[0] != self.steps or not self.lost:
                yield from _of_step(self.partly[0], self.doubt)
        for reason, steps in self.not_judged.items():
            yield f"Not judged: {_listed(steps)}: {reason}."
        if self.far_apart and self.outcome == "UNJUDGED":
            yield (
                "Not judged: the training as a whole. Each step is right, but trained on their "
                f"own the two end more than {FAR} times as far apart as rounding explains. Does a "
                "hook or a closure keep a counter or weights of its own?"
            )
        if self.outcome != "FAIL":
            yield from self.notes
        if self.drift == self.drift:
            yield free_running(self.drift, self.envelope)
        elif not self.lost:
            yield f"{second} has no parameter with the numbers of one of {first}'s at the start."

    @property
    def _found(self) -> str:
        if self.wrong_step is not None:
            return f"step {self.wrong_step} is the first wrong one"
        if self.lost:
            return "the training did not stay finite"
        if not self.judged:
            return "nothing is known to be wrong"
        return f"in these {self.called[1]} computes what {self.called[0]} does, up to rounding"

    def json(self) -> str:
        """All but the curves, as JSON."""
        left_out = ("report", "doubt", "curves", "folder")
        shown = {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)
            if f.name not in left_out
        }
        shown["worst"] = {name: dataclasses.asdict(w) for name, w in self.worst.items()}
        words = self.verdict.splitlines()
        told = {"outcome": self.outcome, "verdict": words, "causes": self.causes}
        return json.dumps(json_safe({"kind": "training"} | told | shown), indent=1)

    def __str__(self) -> str:
        return self.verdict


@dataclass
class ModulesTally:
    """Collects a TrainingReport from the steps, one by one, without keeping their records."""

    called: tuple[str, str]
    steps: int = 0
    judged: int = 0
    wrong_step: int | None = None
    report: ModulesReport | None = None
    partly: list[int] = field(default_factory=list)
    doubt: ModulesReport | None = None
    not_judged: dict[str, list[int]] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    worst: dict[str, WorstResult] = field(default_factory=dict)
    curves: dict[str, dict[str, Curve]] = field(default_factory=lambda: {run: {} for run in RUNS})

    def add(self, taken: ModulesStep) -> None:
        """One more step."""
        self.steps, self.lost = taken.step, taken.lost
        for run, numbers in taken.curves.items():
            for tag, value in numbers.items():
                steps, values = self.curves[run].setdefault(tag, ([], []))
                steps.append(taken.step)
                values.append(value)
        report = taken.report
        if report is None:
            self.not_judged.setdefault(taken.not_judged, []).append(taken.step)
            return
        self.notes |= dict.fromkeys(report.notes)
        for verdict in report.alignment.ends:
            held = self.worst.get(verdict.end.name)
            if held is None or verdict.use > held.use:
                self.worst[verdict.end.name] = WorstResult(verdict.use, taken.step)
        if report.outcome == "UNJUDGED":
            self.doubt = self.doubt or report
            self.partly.append(taken.step)
            return
        self.judged += 1
        if report.outcome == "FAIL":
            self.wrong_step, self.report = taken.step, report

    def of(self, made_with: Mapping[str, str], folder: Path | None) -> TrainingReport:
        """The report on the steps so far."""
        apart = self.curves["parity"]
        ended = (apart[f"drift/{which}"][1][-1] for which in ("a_to_b", "perturbed_copy"))
        drift, envelope = ended
        return TrainingReport(
            steps=self.steps,
            judged=self.judged,
            wrong_step=self.wrong_step,
            report=self.report,
            partly=tuple(self.partly),
            doubt=self.doubt,
            not_judged={reason: tuple(steps) for reason, steps in self.not_judged.items()},
            lost=self.lost,
            worst=self.worst,
            curves=self.curves,
            drift=drift,
            envelope=envelope,
            called=self.called,
            made_with=made_with,
            folder=folder,
            notes=tuple(self.notes),
        )


def _of_step(step: int, report: ModulesReport) -> Iterator[str]:
    """The report's sentences, without its answer."""
    first, *rest = report.verdict.splitlines()
    yield f"Step {step}: {first.removeprefix(report.outcome).strip()}"
    yield from rest


def _listed(steps: tuple[int, ...]) -> str:
    """step 3; steps 2 to 9, 11 to 19."""
    runs: list[list[int]] = []
    for step in steps:
        if runs and step == runs[-1][-1] + 1:
            runs[-1].append(step)
        else:
            runs.append([step])
    shown = [str(r[0]) if len(r) == 1 else f"{r[0]} to {r[-1]}" for r in runs[:4]]
    more = f" and {sum(map(len, runs[4:]))} more" if runs[4:] else ""
    return f"step{'s' if len(steps) > 1 else ''} {', '.join(shown)}{more}"
