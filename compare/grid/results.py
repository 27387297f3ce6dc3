"""The file of a grid's results: a header line, then one line for each judged case, so that a sweep
that was stopped or killed can be resumed."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from torch_parity.compare.errors import InputError
from torch_parity.compare.grid.cases import Grid
from torch_parity.compare.grid.outcome import Outcome
from torch_parity.compare.runs import atomic
from torch_parity.compare.runs.made_with import changes


class Results:
    """The outcomes of a grid so far, by number. Lines are only added, never changed."""

    def __init__(self, path: Path, grid: Grid, stream: IO[str], outcomes: dict[int, Outcome]):
        self.path, self.grid, self.outcomes = path, grid, outcomes
        self._stream = stream

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Write them to the file at once, so that nothing is lost if the process is killed.

        Raises:
            InputError: the file cannot be written, for example because the disk is full.
        """
        for outcome in outcomes:
            said = outcome.model_dump(exclude_none=True) | {
                "options": self.grid.options[outcome.case]
            }
            with _explained(self.path):
                self._stream.write(json.dumps(said, default=str) + "\n")
            self.outcomes[outcome.case] = outcome
        with _explained(self.path):
            self._stream.flush()


@contextmanager
def opened(path: Path, grid: Grid, made_with: dict[str, str]) -> Iterator[Results]:
    """The results file, new or resumed, locked against other processes inside `with`.

    Raises:
        InputError: another sweep is writing it; it is not a results file, or is one of another
            grid or other versions; it cannot be written.
    """
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(path.name + ".lock"), blocking=False)
        try:
            lock.acquire()
        except Timeout:
            raise InputError(
                f"{path} is being written by another sweep: wait for it, stop it, or give --out"
            ) from None
    try:
        with _explained(path):
            if not path.exists():
                about = {"grid": grid.name, "cases": len(grid), "fingerprint": grid.fingerprint}
                line = json.dumps(about | {"made_with": made_with})
                atomic.write(path, line.encode() + b"\n")
            outcomes = _read(path, grid, made_with)
            stream = path.open("a", encoding="utf-8", newline="\n")
        with stream:
            yield Results(path, grid, stream, outcomes)
    finally:
        lock.release()


def _read(path: Path, grid: Grid, made_with: dict[str, str]) -> dict[int, Outcome]:
    """The outcomes in the file; an incomplete last line is removed."""
    content = path.read_bytes()
    header, *lines = content.split(b"\n")
    _check(path, header, grid, made_with)
    outcomes: dict[int, Outcome] = {}
    for i, line in enumerate(lines[:-1], start=2):
        try:
            said = json.loads(line)
            del said["options"]
            outcome = Outcome.model_validate(said)
        except (ValueError, LookupError, TypeError, ValidationError):
            raise InputError(
                f"{path}, line {i}, is not the result of a case: restore the file, or delete it "
                "and start again"
            ) from None
        outcomes[outcome.case] = outcome
    if lines[-1]:
        with path.open("r+b") as stream:
            stream.truncate(len(content) - len(lines[-1]))
    return outcomes


def _check(path: Path, header: bytes, grid: Grid, made_with: dict[str, str]) -> None:
    remedy = "give another file with --out, or delete this one"
    try:
        about: dict[str, Any] = json.loads(header)
        name, fingerprint, was = about["grid"], about["fingerprint"], dict(about["made_with"])
    except (ValueError, LookupError, TypeError):
        raise InputError(f"{path} is not a file of grid results: {remedy}") from None
    if fingerprint != grid.fingerprint:
        raise InputError(
            f"{path} holds the results of another grid ({name}, {about.get('cases')} cases; this "
            f"is {grid.name}, {len(grid)} cases): {remedy}"
        )
    if differing := changes(was, made_with):
        raise InputError(
            f"{path} was started with other versions ({', '.join(differing)}): {remedy}"
        )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}; give another with --out"
        ) from None
