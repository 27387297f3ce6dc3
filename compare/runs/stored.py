"""Read the JSON files that commands write into a run's folder, with the checks of any input."""

import json
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from torch_parity.compare.errors import InputError
from torch_parity.compare.judge.outcome import Answer
from torch_parity.manual.bias_variance import Diagnosis

Number = Annotated[float, BeforeValidator(lambda v: float("nan") if v is None else v)]
"""A number; null in JSON stands for NaN."""


class Stored(BaseModel):
    """A record with the fields that a page needs; other fields of the file are ignored."""

    model_config = ConfigDict(frozen=True)


class StoredDifference(Stored):
    """One tensor on both sides, as differences.Difference."""

    name: str
    verdict: str
    relative: Number
    index: tuple[int, ...]
    detail: str

    @property
    def passed(self) -> bool:
        """As Difference.passed."""
        return self.verdict in ("match", "rounding")

    @property
    def failed(self) -> bool:
        """As Difference.failed."""
        return not self.passed and self.verdict != "unjudged"


class StoredReplay(Stored):
    """One tensor against its replay, as replay.Replayed."""

    name: str
    operation: str
    outcome: str
    use: Number


class StoredWorst(Stored):
    """The worst difference of a tensor in a run."""

    difference: StoredDifference
    step: int


class StoredFailure(Stored):
    """The first step that did not pass, in words."""

    step: int
    words: tuple[str, ...]


class StoredSummary(Stored):
    """summary.json of `parity train`."""

    passed: bool
    made_with: dict[str, str]
    worst: dict[str, StoredWorst]
    use: dict[str, dict[str, Number]]
    replays: int
    failure: StoredFailure | None
    unjudged: dict[str, int] = {}
    steps: int
    drift: Number
    envelope: Number
    score: str
    scores: dict[str, dict[str, Number]]
    diagnosis: Diagnosis | None
    gradients_passed: bool | None = None


class StoredWorstResult(Stored):
    """The greatest share of its bound that a result of a module used."""

    use: Number
    step: int


class StoredModules(Stored):
    """modules.json of `train_modules`: what is trained, and how."""

    about: dict[str, str]


class StoredTraining(Stored):
    """summary.json of `train_modules`; verdict is a line each."""

    outcome: Literal["PASS", "FAIL", "UNJUDGED"]
    verdict: tuple[str, ...]
    steps: int
    worst: dict[str, StoredWorstResult]
    made_with: dict[str, str]


class StoredGradcheck(Stored):
    """gradcheck.json of `parity train --gradcheck N`."""

    passed: bool
    steps: tuple[int, ...]
    difference: Number
    failure: str


class StoredTable(Stored):
    """A table of a lesson."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class StoredClaim(Stored):
    """A sentence of a lesson's conclusion, and whether the numbers support it."""

    holds: bool
    text: str


class StoredLesson(Stored):
    """lesson.json of `parity lesson NAME`."""

    lesson: str
    passed: bool
    made_with: dict[str, str]
    seed: int
    headings: tuple[str, ...]
    text: str
    tables: tuple[StoredTable, ...]
    conclusion: tuple[StoredClaim, ...]


class StoredKind(Stored):
    """What report.json is about: arrays, as StoredReport; modules or a model, as StoredModels."""

    kind: Literal["arrays", "modules", "model", "training"] = "arrays"


class StoredResult(Stored):
    """A result of a model, compared with the other model's, as EndVerdict."""

    name: str
    outcome: str
    use: Number
    index: tuple[int, ...]
    a: Number
    b: Number
    bound: Number


class StoredModels(Stored):
    """report.json of a failed assertion on torch models: called holds one name, or two."""

    outcome: Answer
    called: Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)]
    results: tuple[StoredResult, ...] = ()


class StoredReport(Stored):
    """report.json of a failed assertion on arrays, kept by --parity-report."""

    outcome: Answer
    called: tuple[str, str]
    conventions: tuple[str, ...]
    notes: tuple[str, ...]
    differences: tuple[StoredDifference, ...]
    replays: dict[str, tuple[StoredReplay, ...]]


Record = TypeVar("Record", bound=Stored)


def read(file: Path, kind: type[Record]) -> Record:
    """The record in a JSON file.

    Raises:
        InputError: it cannot be read, is truncated, or is another kind of record.
    """
    try:
        return kind.model_validate(json.loads(text(file)))
    except json.JSONDecodeError as error:
        reason = f"not complete JSON (line {error.lineno}: {error.msg})"
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        reason = f"from another version of torch-parity ({at}: {first['msg']})"
    raise InputError(f"{file} is {reason}, so it cannot be shown; make the run again")


def read_report(file: Path) -> StoredReport | StoredModels:
    """The report of a failed test, on arrays or on torch models.

    Raises:
        InputError: as of read.
    """
    of_arrays = read(file, StoredKind).kind == "arrays"
    return read(file, StoredReport) if of_arrays else read(file, StoredModels)


def text(file: Path) -> str:
    """A text file.

    Raises:
        InputError: it cannot be read, or is not text.
    """
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8 text; make the run again") from None
