"""A whole run in one record: the worst of every tensor, both scores, the diagnosis."""

import dataclasses
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from compare.differences import Difference
from compare.training import StepRecord
from manual.bias_variance import Diagnosis, diagnose


@dataclass(frozen=True)
class Worst:
    """The worst that was seen of one tensor, and in which step."""

    difference: Difference
    step: int


@dataclass(frozen=True)
class Summary:
    """What `parity train` has to say; rendering is somebody else's work.

    worst holds every tensor in flow order; first_failure is the first failing tensor of the first
    failing step; kinks counts the steps that a kink left partly undecided; drift is how far the
    free-running sides ended apart; scores are score/train and score/dev of each side.
    """

    worst: dict[str, Worst]
    first_failure: Worst | None
    steps: int
    kinks: int
    drift: float
    score: str
    scores: dict[str, dict[str, float]]
    diagnosis: Diagnosis | None

    @property
    def passed(self) -> bool:
        """True only if at least one step was judged and every tensor of every step agreed."""
        return self.steps > 0 and self.first_failure is None

    def json(self) -> str:
        """Every tensor, for machines. NaN stands as null, which JSON can carry."""
        record = {"passed": self.passed, **dataclasses.asdict(self)}
        return json.dumps(_plain(record), indent=1)


@dataclass
class Tally:
    """Takes the records of a run one by one, so that none has to be kept."""

    score: str
    base_error: float = 0.0
    worst: dict[str, Worst] = field(default_factory=dict)
    first_failure: Worst | None = None
    kinks: int = 0
    last: StepRecord | None = None

    def add(self, record: StepRecord) -> None:
        """One more step."""
        self.last = record
        for d in record.differences:
            held = self.worst.get(d.name)
            if held is None or _severity(d) > _severity(held.difference):
                self.worst[d.name] = Worst(d, record.step)
        if self.first_failure is None:
            failed = next((d for d in record.differences if not d.passed), None)
            self.first_failure = Worst(failed, record.step) if failed else None
        self.kinks += any(d.verdict == "kink" for d in record.differences)

    def summary(self) -> Summary:
        """What has been seen so far."""
        sides = (
            {"manual": {}, "torch": {}}
            if self.last is None
            else {"manual": self.last.manual, "torch": self.last.torch}
        )
        scores = {
            side: {k: v for k, v in curves.items() if k.startswith(self.score + "/")}
            for side, curves in sides.items()
        }
        return Summary(
            worst=self.worst,
            first_failure=self.first_failure,
            steps=self.last.step if self.last else 0,
            kinks=self.kinks,
            drift=self.last.drift if self.last else 0.0,
            score=self.score,
            scores=scores,
            diagnosis=self._diagnose(scores["torch"]),
        )

    def _diagnose(self, scores: dict[str, float]) -> Diagnosis | None:
        """Of torch's side; None where the run ended before an evaluation, or diverged."""
        errors = [
            1 - scores.get(f"{self.score}/{split}", float("nan")) for split in ("train", "dev")
        ]
        return diagnose(self.base_error, *errors) if min(errors) >= 0 else None


def kind(name: str) -> str:
    """z of z3, dW_loss of dW3_loss: the tensor whatever its layer."""
    return re.sub(r"\d+", "", name)


def by_kind(worst: Iterable[Worst]) -> dict[str, list[Worst]]:
    """The tensors of one kind together, kinds in flow order."""
    kinds: dict[str, list[Worst]] = {}
    for w in worst:
        kinds.setdefault(kind(w.difference.name), []).append(w)
    return kinds


def worst_of(group: Iterable[Worst]) -> Worst:
    """The one that a reader has to know of."""
    return max(group, key=lambda w: _severity(w.difference))


def _severity(d: Difference) -> tuple[bool, bool, float]:
    """A failure outweighs a kink, a kink a match; a gap that does not exist outweighs any number
    (NaN loses every comparison, so it must not be compared)."""
    exists = d.relative == d.relative
    return not d.passed, d.verdict == "kink", d.relative if exists else float("inf")


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and value != value else value
