"""A whole run in one record: the worst of every tensor, both scores, the diagnosis."""

import dataclasses
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from torch_parity.compare.judge.differences import Difference
from torch_parity.compare.judge.judge import Side
from torch_parity.compare.judge.outcome import Answer
from torch_parity.compare.judge.verdict import lost, powerless, sentences, unused
from torch_parity.compare.numbers import json_safe
from torch_parity.compare.runs.training import StepRecord
from torch_parity.manual.bias_variance import Diagnosis, diagnose


@dataclass(frozen=True)
class Worst:
    """The worst that was seen of one tensor, and in which step."""

    difference: Difference
    step: int


@dataclass(frozen=True)
class Failure:
    """The first step that did not pass: its first failing tensor, and the verdict in words."""

    step: int
    difference: Difference | None
    words: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """The result of `parity train`: data only.

    worst holds every tensor in flow order; use is the greatest share of its rounding bound that
    each side used in a replay, replays the number of replayed steps; drift is how far the two sides
    ended apart when trained on their own, envelope how far a perturbed copy did; scores are
    score/train and score/dev of each side. planned is the number of steps of the case: a run that
    was stopped or diverged has fewer. unjudged has the first step in which a tensor could not be
    judged. made_with holds the versions, and notes say what changed
    during the run and what a PASS does not cover. gradients_passed is what --gradcheck found; None
    without it.
    """

    worst: dict[str, Worst]
    use: dict[Side, dict[str, float]]
    replays: int
    failure: Failure | None
    unjudged: dict[str, int]
    steps: int
    drift: float
    envelope: float
    score: str
    scores: dict[str, dict[str, float]]
    diagnosis: Diagnosis | None
    planned: int
    interrupted: bool
    made_with: dict[str, str]
    notes: tuple[str, ...]
    gradients_passed: bool | None = None

    @property
    def outcome(self) -> Answer:
        """PASS only if at least one step was judged, every tensor of every step agreed, and no
        gradient differed from the exact one."""
        if self.failure or not self.steps or self.gradients_passed is False:
            return "FAIL"
        return "UNJUDGED" if self.unjudged else "PASS"

    @property
    def passed(self) -> bool:
        """Whether it is a PASS and no step is left to take."""
        return self.outcome == "PASS" and not self.interrupted

    def json(self) -> str:
        """The whole record as JSON."""
        record = {"outcome": self.outcome, "passed": self.passed, **dataclasses.asdict(self)}
        return json.dumps(json_safe(record), indent=1)


@dataclass
class Tally:
    """Collects a Summary from the records of a run, one by one, without keeping them. zeros and
    given_zeros are the tensors that were all 0 in every replay."""

    score: str
    base_error: float | None = 0.0
    worst: dict[str, Worst] = field(default_factory=dict)
    use: dict[Side, dict[str, float]] = field(default_factory=dict)
    replays: int = 0
    zeros: list[str] = field(default_factory=list)
    given_zeros: list[str] = field(default_factory=list)
    failure: Failure | None = None
    unjudged: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    drift: float = 0.0
    envelope: float = 0.0
    scores: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, record: StepRecord) -> None:
        """One more step."""
        self.steps, self.drift, self.envelope = record.step, record.drift, record.envelope
        self.scores = {
            side: {k: v for k, v in curves.items() if k.startswith(self.score + "/")}
            for side, curves in (("manual", record.manual), ("torch", record.torch))
        }
        judgement = record.judgement
        for d in judgement.differences:
            held = self.worst.get(d.name)
            if held is None or _severity(d) > _severity(held.difference):
                self.worst[d.name] = Worst(d, record.step)
        if judgement.replays:
            first, j = not self.replays, judgement
            self.zeros = [n for n in j.zeros if first or n in self.zeros]
            self.given_zeros = [n for n in j.given_zeros if first or n in self.given_zeros]
        self.replays += bool(judgement.replays)
        for side, replays in judgement.replays.items():
            uses = self.use.setdefault(side, {})
            for r in replays:
                uses[r.name] = max(uses.get(r.name, 0.0), r.use if r.use == r.use else float("inf"))
        for d in judgement.unjudged:
            self.unjudged.setdefault(d.name, record.step)
        if self.failure is None and record.outcome == "FAIL":
            failed = next((d for d in judgement.differences if d.failed), None)
            words = sentences(judgement) if judgement.outcome == "FAIL" else lost(record.lost)
            self.failure = Failure(record.step, failed, tuple(words))

    def summary(
        self, planned: int, interrupted: bool, made_with: dict[str, str], notes: tuple[str, ...]
    ) -> Summary:
        """The summary of the steps so far."""
        return Summary(
            worst=self.worst,
            use=self.use,
            replays=self.replays,
            failure=self.failure,
            unjudged=self.unjudged,
            steps=self.steps,
            drift=self.drift,
            envelope=self.envelope,
            score=self.score,
            scores=self.scores,
            diagnosis=self._diagnose(self.scores.get("torch", {})),
            planned=planned,
            interrupted=interrupted,
            made_with=made_with,
            notes=(*notes, *unused(self.given_zeros), *powerless(self.zeros)),
        )

    def _diagnose(self, scores: dict[str, float]) -> Diagnosis | None:
        """Of torch's side; None without a base error, or where the run ended before an evaluation
        or diverged."""
        if self.base_error is None:
            return None
        errors = [
            1 - scores.get(f"{self.score}/{split}", float("nan")) for split in ("train", "dev")
        ]
        return diagnose(self.base_error, *errors) if min(errors) >= 0 else None


def kind(name: str) -> str:
    """The name of a tensor without its layer: z for z3, dW_loss for dW3_loss."""
    return re.sub(r"\d+", "", name)


def by_kind(worst: Iterable[Worst]) -> dict[str, list[Worst]]:
    """The tensors of one kind together, kinds in flow order."""
    kinds: dict[str, list[Worst]] = {}
    for w in worst:
        kinds.setdefault(kind(w.difference.name), []).append(w)
    return kinds


def worst_of(group: Iterable[Worst]) -> Worst:
    """The most severe one."""
    return max(group, key=lambda w: _severity(w.difference))


def _severity(d: Difference) -> tuple[bool, bool, float]:
    """A failure outweighs any number, and so does a gap that does not exist (NaN would lose every
    comparison, so it must not be compared)."""
    return d.failed, not d.passed, d.relative if d.relative == d.relative else float("inf")
