"""One case of a grid, judged in any free process, and its outcome."""

from collections.abc import Sequence
from functools import lru_cache
from threading import Lock
from time import perf_counter
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from torch_parity.compare import data, threads
from torch_parity.compare.case import Case
from torch_parity.compare.choices import OF_NUMBERS
from torch_parity.compare.data import Data
from torch_parity.compare.errors import InputError
from torch_parity.compare.grid.fingerprint import fingerprint
from torch_parity.compare.judge.judge import SIDES, Judgement
from torch_parity.compare.judge.verdict import short
from torch_parity.compare.runs import training
from torch_parity.compare.runs.made_with import changes
from torch_parity.compare.sources import pair

Numbered = tuple[int, Case]

DATA = ("data", "target", "samples", "noise", "dev_fraction", "standardize", "dtype", "seed")

_alone = Lock()  # torch's generator and thread count are shared by the whole process


class Outcome(BaseModel):
    """The outcome of one case. If it failed: the first wrong step, the first wrong operation in it,
    the side, the cause, and the verdict in words. If it was refused or had an error: detail."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: int
    verdict: Literal["passed", "failed", "unjudged", "refused", "error"]
    seconds: float = 0.0
    step: int | None = None
    operation: str | None = None
    side: str | None = None
    cause: str | None = None
    detail: str | None = None

    @property
    def kind(self) -> str:
        """The group of an outcome in the table: operation, cause and side, or the reason."""
        if self.operation is None:
            return self.detail or ""
        return f"{self.side}'s {self.operation}: {self.cause}"


def judge_all(cases: Sequence[Numbered], made_with: dict[str, str]) -> list[Outcome]:
    """Judge each case as `parity check` would; an error in one does not affect the others.

    Raises:
        InputError: this process has other versions than the sweep (see fingerprint).
    """
    if differing := changes(made_with, fingerprint()):
        raise InputError(
            f"a worker has other versions than this machine ({', '.join(differing)}): install the "
            "same on both, then restart the workers"
        )
    with _alone, threads.limited(1):
        return [_outcome(number, case) for number, case in cases]


def _outcome(number: int, case: Case) -> Outcome:
    began = perf_counter()
    try:
        step, judgement = _judge(case)
    except InputError as error:
        return Outcome(case=number, verdict="refused", detail=str(error))
    except Exception as error:  # any error is an outcome
        said = f"{type(error).__name__}: {error}"
        return Outcome(
            case=number, verdict="error", seconds=perf_counter() - began, detail=said[:500]
        )
    seconds = round(perf_counter() - began, 6)
    if judgement.passed:
        return Outcome(case=number, verdict="passed", seconds=seconds)
    root = judgement.root
    return Outcome(
        case=number,
        verdict="failed" if judgement.outcome == "FAIL" else "unjudged",
        seconds=seconds,
        step=step,
        operation=root.found.operation if root else None,
        side=root.side if root else None,
        cause=_cause(judgement),
        detail=short(judgement),
    )


def _judge(case: Case) -> tuple[int, Judgement]:
    """The number and judgement of the first failing step, else of the last."""
    loaded = _loaded(*(getattr(case, name) for name in DATA), case.loss in OF_NUMBERS)
    for record in training.Training(case, loaded, pair.build(case, loaded)):
        if not record.judgement.passed:
            break
    return record.step, record.judgement


@lru_cache(maxsize=32)
def _loaded(*chosen: object) -> Data:
    """Cases often share their data; nothing writes to these arrays."""
    *values, numbers = chosen
    options: dict[str, Any] = dict(zip(DATA, values, strict=True))
    return data.load(Case(**options, loss="mse_loss" if numbers else "auto"))


def _cause(j: Judgement) -> str:
    """The named mistakes on each wrong side."""
    if j.root and j.root.found.outcome == "not finite":
        return "not finite"
    found = {
        " or ".join(" + ".join(sorted(n)) for n in j.diagnoses[side].names) or "unknown cause"
        for side in SIDES
        if side in j.diagnoses
    }
    return "; ".join(sorted(found)) or "unknown cause"
