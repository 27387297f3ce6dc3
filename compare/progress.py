"""What a run stores so that it can be resumed: the training state, and the results so far."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from torch_parity.compare.case import Case
from torch_parity.compare.data import Data
from torch_parity.compare.errors import InputError
from torch_parity.compare.gradients.train_gradcheck import Seen
from torch_parity.compare.runs import checkpoint, event_file
from torch_parity.compare.runs.checkpoint import Checkpoint
from torch_parity.compare.runs.event_file import Written
from torch_parity.compare.runs.state_fits import refuse_misfit
from torch_parity.compare.runs.summary import Tally
from torch_parity.compare.runs.training import SideState, State
from torch_parity.compare.sources.pair import Pair
from torch_parity.compare.sources.schedule import can_be_longer
from torch_parity.manual.models.step import Tensors

SIDES = ("manual", "torch", "perturbed_copy")

Inside = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9_]+/)*events\.out\.tfevents\.0$")]
"""The name of a log below the run's folder."""


class Progress(BaseModel):
    """All of a run except its arrays: data is the digest of the training data, perturbation_rng the
    state of the generator which perturbs the copy, logs the sizes and checksums of TensorBoard's
    files, seconds the time taken so far."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    case: Case
    data: str
    made_with: dict[str, str]
    perturbation_rng: dict[str, Any]
    tally: Tally
    gradchecks: Seen | None
    logs: dict[Inside, Written]
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """A checkpoint that can be resumed; refused says which newer ones cannot, and why; damaged says
    what is wrong with the logs that do not hold all that was written before it."""

    path: Path
    state: State
    progress: Progress
    refused: tuple[str, ...]
    damaged: Mapping[str, str]


def store(folder: Path, state: State, progress: Progress) -> None:
    """A checkpoint in the run's folder.

    Raises:
        OSError: it could not be written; those before it are as they were.
    """
    home = folder / "checkpoints"
    home.mkdir(exist_ok=True)
    record = progress.model_dump(mode="json")
    checkpoint.store(home, Checkpoint(state.step, _flat(state), record))


def find(folder: Path, case: Case, data: Data, pair: Pair) -> Found:
    """The newest undamaged checkpoint of a run that belongs to its case, or to the same with fewer
    steps, and whose curves are undamaged; if there is none, the newest with damaged curves.

    Raises:
        InputError: there is none.
    """
    refused: list[str] = []
    without_curves: Found | None = None
    for path in reversed(checkpoint.stored(folder / "checkpoints")):
        try:
            loaded = checkpoint.load(path)
            progress = _read(path, loaded, case, data)
            state = _state(path, loaded, progress)
            refuse_misfit(path, state, pair)
        except InputError as error:
            refused.append(str(error))
            continue
        damaged = event_file.damaged(folder, progress.logs)
        found = Found(path, state, progress, tuple(refused), damaged)
        if not damaged:
            return found
        without_curves = without_curves or found
        refused += damaged.values()
    if without_curves:
        return without_curves
    why = (
        "; ".join(refused)
        or f"{folder} holds no checkpoint: the run was stopped before the first one"
    )
    again = f"parity train --case {folder / 'case.toml'}"
    raise InputError(f"{why}\nthere is no checkpoint to resume from: train again with  {again}")


def rewind(folder: Path, found: Found) -> Progress:
    """Delete what was stored, logged and reported after a checkpoint: it is computed again. Damaged
    logs keep what is whole in them -> the progress from there."""
    (folder / "summary.json").unlink(missing_ok=True)
    for path in checkpoint.stored(found.path.parent):
        if path > found.path:
            checkpoint.delete(path)
    event_file.cut(folder, found.progress.logs)
    if not found.damaged:
        return found.progress
    for name in found.damaged:
        event_file.repair(folder / name)
    gaps = (f"{what}: the curves lack what was lost" for what in found.damaged.values())
    repaired = found.progress.model_copy(
        update={
            "logs": event_file.written(folder, {}),
            "notes": (*found.progress.notes, *gaps),
        }
    )
    store(folder, found.state, repaired)  # later steps are appended to what the logs hold now
    return repaired


def digest(data: Data) -> str:
    """A digest of every number that is used for training or scoring."""
    found = sha256()
    for array in (data.x_train, data.labels_train, data.x_dev, data.labels_dev):
        found.update(f"{array.shape} {array.dtype} ".encode() + array.tobytes())
    return found.hexdigest()


def _read(path: Path, loaded: Checkpoint, case: Case, data: Data) -> Progress:
    try:
        progress = Progress.model_validate(loaded.record)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise InputError(f"{path}: {where}: written by another version of torch-parity") from None
    for name in Case.model_fields:
        was, now = getattr(progress.case, name), getattr(case, name)
        longer = name == "steps" and was < now and can_be_longer(case)
        if was != now and not longer:
            raise InputError(
                f"{path} belongs to another case: {name} is {was!r} there, {now!r} in case.toml"
            )
    if progress.data != digest(data):
        raise InputError(f"{path} was trained on other data than {case.data} holds now")
    return progress


def _flat(state: State) -> Tensors:
    """Every array under one name: manual/params/W1, torch/memory/vW1, before/previous_dz1..."""
    flat = {"generator": state.generator}
    for side in SIDES:
        side_state = getattr(state, side)
        flat |= {f"{side}/params/{n}": a for n, a in side_state.params.items()}
        flat |= {f"{side}/memory/{n}": a for n, a in side_state.memory.items()}
    flat |= {f"before/{n}": a for n, a in state.before.items()}
    return flat | {f"optimizer/{n}": a for n, a in state.optimizer.items()}


def _state(path: Path, loaded: Checkpoint, progress: Progress) -> State:
    if "generator" not in loaded.tensors:
        raise InputError(f"{path} is damaged: it holds no state of torch's generator")

    def under(prefix: str) -> Tensors:
        return dict(_under(loaded.tensors, prefix))

    manual, torch, perturbed = (
        SideState(under(f"{s}/params/"), under(f"{s}/memory/")) for s in SIDES
    )
    return State(
        step=loaded.step,
        manual=manual,
        torch=torch,
        perturbed_copy=perturbed,
        before=under("before/"),
        optimizer=under("optimizer/"),
        generator=loaded.tensors["generator"],
        perturbation_rng=progress.perturbation_rng,
    )


def _under(tensors: Tensors, prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    for name, array in tensors.items():
        if name.startswith(prefix):
            yield name.removeprefix(prefix), array
