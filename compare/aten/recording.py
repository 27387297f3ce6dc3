"""One step of a model, recorded to be judged here, or elsewhere from a file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from torch_parity.compare.aten.constants import shared_constants
from torch_parity.compare.aten.doubled import in_float64, precisions
from torch_parity.compare.aten.draws import Draws, draws_differ
from torch_parity.compare.aten.files.load import load_records
from torch_parity.compare.aten.files.save import save_records
from torch_parity.compare.aten.keywords import explains_keywords
from torch_parity.compare.aten.lazy import initialised
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.step import Step, options_of, record_step, require_whole
from torch_parity.compare.aten.unchanged import fresh, module_of, on_copies, unchanged
from torch_parity.compare.aten.watch import Watch, unwatched
from torch_parity.compare.errors import InputError
from torch_parity.compare.sources.files.stored import BROKEN


@dataclass(frozen=True, repr=False)
class Recording:
    """One recorded step of a model: every ATen call with its tensors.

    float64 is the same step in float64, for comparing two models; None where the step is of that
    precision itself, or could not be run in it, for which reason says why. options are the
    optimizer's settings of each parameter. path is the file that it was read from.
    """

    record: Record
    float64: Record | None = None
    reason: str = ""
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    called: str = "the model"
    path: Path | None = None

    def save(self, path: Path | str, watch: Watch = unwatched) -> Path:
        """Write it as a safetensors file, which replaces one of that name. The same step makes the
        same bytes.

        Raises:
            InputError: the folder cannot be written to.
        """
        path = Path(path)
        save_records(path, self.record, self.float64, self.options, self.reason, watch)
        return path

    def __repr__(self) -> str:
        """One line: a recording holds every tensor of a step."""
        return f"<Recording: {len(self.record.calls)} ATen calls of {self.called}>"

    def in_float64(self) -> Record:
        """The step in float64.

        Raises:
            InputError: it was not recorded in float64.
        """
        if self.float64 is not None:
            return self.float64
        if precisions(self.record) <= {"float64"}:
            return self.record
        raise InputError(self.reason or f"{self.called} was not recorded")


@explains_keywords
def record_model(
    model: Callable[..., Any],
    *inputs: Any,
    loss: Callable[..., Any] | None = None,
    target: Any = None,
    optimizer: torch.optim.Optimizer | None = None,
    called: str = "the model",
    draws_of: Recording | None = None,
    keep: str | Path | None = None,
    **kwargs: Any,
) -> Recording:
    """Run one step of a model as `check_model` does, and keep every ATen call of it.

    `save` writes the recording as a file. `check_model` and `check_modules` take a recording, or
    the path of its file, in the place of a model: so two processes, machines or versions of torch
    can be compared. draws_of is another recording, whose random numbers are drawn again. keep is a
    folder for the tensors until then, as for check_model. The model is left as it was.

    Raises:
        InputError (a ValueError): see record_step in step.py.
    """
    step = Step(model, inputs, kwargs, loss, target, optimizer, called, folder_of(keep))
    return recording_of(step, draws_of)


def folder_of(keep: str | Path | None) -> Path | None:
    """The folder that tensors are kept in; None keeps them in memory."""
    return None if keep is None else Path(keep)


def recording_of(step: Step, draws_of: Recording | None = None) -> Recording:
    """record_model, of a step."""
    step = initialised(step)
    options = options_of(step)
    record = recorded(step, None if draws_of is None else draws_of.record)
    double, reason = None, ""
    if not precisions(record) <= {"float64"}:
        try:
            double = recorded_in_float64(step, record)
        except InputError as error:
            reason = str(error)
    return Recording(record, double, reason, options, step.called)


def load_recording(path: Path | str) -> Recording:
    """The recording in a file. Nothing in the file is executed, and its tensors are read when they
    are needed.

    Raises:
        InputError (a ValueError): there is no such file, it is damaged, or it is no recording.
    """
    path = Path(path)
    found = load_records(path)
    return Recording(
        found.own, found.float64, found.reason, found.options, path.stem or "the model", path
    )


Source = Step | Recording


def sources_of(*steps: Step) -> list[Source]:
    """Each step, or the recording that stands in the place of its model.

    Raises:
        InputError: a file holds no recording, both are the same file, or inputs, loss or optimizer
            are given where the recordings have their own.
    """
    found = [_source(step) for step in steps]
    recordings = [s for s in found if isinstance(s, Recording)]
    paths = [s.path for s in recordings if s.path is not None]
    if len(paths) == 2 and paths[0].samefile(paths[1]):
        raise InputError(f"{paths[0]} and {paths[1]} are the same file: give two different ones")
    for step, source in zip(steps, found, strict=True):
        common = step.inputs or step.keywords or step.loss is not None or step.target is not None
        alone = len(recordings) == len(found) and common
        if isinstance(source, Recording) and (alone or step.optimizer is not None):
            raise InputError(
                f"{step.called} is a recording, which has its own inputs, loss and optimizer: "
                "leave them out"
            )
    return found


def _source(step: Step) -> Source:
    model: Any = step.model
    found = load_recording(model) if isinstance(model, str | Path) else model
    if isinstance(found, Recording):
        return replace(found, called=step.called)
    return initialised(step)


def recorded(step: Step, draws_of: Record | None = None) -> Record:
    """The step's record; the model, the loss and the optimizer are left as they were."""
    require_whole(step)  # before its optimizer is put aside
    draws = None if draws_of is None else Draws(draws_of)
    step = with_own_inputs(step)
    model = module_of(step.model)
    with torch.enable_grad(), unchanged(model, step.optimizer), on_copies(module_of(step.loss)):
        return record_step(step, draws)


def with_own_inputs(step: Step) -> Step:
    """The same step on copies of its inputs and its target."""
    own = fresh(step.inputs), fresh(dict(step.keywords or {})), fresh(step.target)
    return replace(step, inputs=own[0], keywords=own[1], target=own[2])


def recorded_in_float64(step: Step, draws_of: Record | None = None) -> Record:
    """The record of the step in float64.

    What it makes in float32 is made in float64 too, unless the program does not run that way.
    """
    with in_float64(step) as double:
        try:
            return recorded(double, draws_of)
        except InputError:
            if not double.doubled:
                raise
            return recorded(replace(double, doubled=False), draws_of)


def own_record(source: Source, draws_of: Record | None = None) -> Record:
    """A source's record in its own precision."""
    return source.record if isinstance(source, Recording) else recorded(source, draws_of)


def settings_of(source: Source) -> Mapping[str, Mapping[str, Any]]:
    """The optimizer's settings of each parameter."""
    return source.options if isinstance(source, Recording) else options_of(source)


def records_of(
    a: Source,
    b: Source,
    share_draws: bool,
    record: Callable[[Source, Record | None], Record] = own_record,
) -> list[Record]:
    """Both records. With share_draws the second to be recorded draws what the first drew."""
    if isinstance(b, Recording) and not isinstance(a, Recording):
        second = record(b, None)
        return [record(a, second if share_draws else None), second]
    first = record(a, None)
    return [first, record(b, first if share_draws else None)]


def pair_in_float64(
    a: Source, b: Source, own: list[Record], share_draws: bool, notes: list[str]
) -> tuple[list[Record], str]:
    """Both records in float64, or as they are; and the precision whose rounding is allowed for."""
    kinds = precisions(own[0]) | precisions(own[1])
    if kinds <= {"float64"}:
        return own, "float64"
    constants = shared_constants(own)
    a, b = (s if isinstance(s, Recording) else replace(s, constants=constants) for s in (a, b))
    try:
        return _records_in_float64(a, b, own, share_draws), "float64"
    except InputError as error:
        precision = " and ".join(sorted(kinds)) or "float64"
        notes.append(f"Compared in {precision}: in float64 {error}.")
        return own, precision


def _records_in_float64(a: Source, b: Source, own: list[Record], share_draws: bool) -> list[Record]:
    """Each draws what it drew in its own precision; beside a recording, what that drew."""
    if isinstance(a, Recording) or isinstance(b, Recording):
        return records_of(a, b, share_draws, _float64_record)
    found = [recorded_in_float64(a, own[0]), recorded_in_float64(b, own[1])]
    for double, drew in zip(found, own, strict=True):
        double.undrawn |= drew.undrawn
    return found


def _float64_record(source: Source, draws_of: Record | None) -> Record:
    if isinstance(source, Recording):
        return source.in_float64()
    return recorded_in_float64(source, draws_of)


def require_same_draws(a: Source, b: Source, pair: Sequence[Record]) -> None:
    """Two recordings cannot draw each other's random numbers any more.

    Raises:
        InputError: they drew different ones.
    """
    if not (isinstance(a, Recording) and isinstance(b, Recording)):
        return
    if drawn := draws_differ(*pair):
        raise InputError(
            f"{b.called} drew other random numbers ({drawn}) than {a.called}: record the second "
            "with the draws of the first (parity record --draws, record_model(draws_of=))"
        )


@contextmanager
def believed(*sources: Source) -> Iterator[None]:
    """What goes wrong inside with a file is the file's fault.

    Raises:
        InputError: the calls of a recording that was read do not fit its tensors.
    """
    try:
        yield
    except InputError:
        raise
    except BROKEN as error:
        paths = [str(s.path) for s in sources if isinstance(s, Recording) and s.path is not None]
        if not paths:
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{' or '.join(paths)}: its calls do not fit: {reason}") from error
