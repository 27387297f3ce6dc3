"""Checkpoints in a folder. Each is arrays (.safetensors) and a record (.json) with both checksums.

The record is written last, so a checkpoint without one is incomplete. Two checkpoints are kept: if
the newer one is damaged, it is reported by name and the older one is used.
"""

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import save as serialize
from safetensors.torch import load as read_tensors

from torch_parity.compare.errors import InputError
from torch_parity.compare.runs import atomic
from torch_parity.compare.tensors import to_numpy
from torch_parity.manual.models.step import Tensors

KEPT = 2
NAME = re.compile(r"[0-9]{9,}\.json")  # the step; other files in the folder are left alone


@dataclass(frozen=True)
class Checkpoint:
    """The state after a step; record is any JSON value. Both keep the order of their names."""

    step: int
    tensors: Tensors
    record: dict[str, Any]


class _Content(BaseModel):
    """A record as it is in the file, without its checksum."""

    model_config = ConfigDict(strict=True, extra="forbid")

    step: int
    tensors: str
    names: list[str]
    record: dict[str, Any]


def store(folder: Path, checkpoint: Checkpoint) -> None:
    """Write it, then delete those before it, but for the last of them.

    Raises:
        OSError: it could not be written; those before it are as they were.
    """
    path = folder / f"{checkpoint.step:09d}.json"
    rows_first = {n: np.asarray(a, order="C") for n, a in checkpoint.tensors.items()}
    blob = serialize(rows_first)  # it writes the numbers in memory order
    atomic.write(path.with_suffix(".safetensors"), blob)
    content = {
        "step": checkpoint.step,
        "tensors": sha256(blob).hexdigest(),
        "names": list(checkpoint.tensors),
        "record": checkpoint.record,
    }
    sealed = {"checksum": _checksum(content), **content}
    atomic.write(path, (json.dumps(sealed) + "\n").encode())
    until_now = [p for p in stored(folder) if step_of(p) <= checkpoint.step]
    for old in until_now[:-KEPT]:
        delete(old)


def stored(folder: Path) -> list[Path]:
    """The records in it, oldest first."""
    return sorted((p for p in folder.glob("*.json") if NAME.fullmatch(p.name)), key=step_of)


def step_of(path: Path) -> int:
    """The step of a checkpoint, which is its name."""
    return int(path.stem)


def delete(path: Path) -> None:
    """Delete the record first: arrays without one are not a checkpoint."""
    path.unlink(missing_ok=True)
    path.with_suffix(".safetensors").unlink(missing_ok=True)


def load(path: Path) -> Checkpoint:
    """The checkpoint whose record is path.

    Raises:
        InputError: a part of it is missing or damaged; the message names the file.
    """
    content = _record(path)
    arrays = path.with_suffix(".safetensors")
    try:
        blob = arrays.read_bytes()
    except OSError as error:
        raise InputError(f"{arrays} cannot be read: {error.strerror}") from None
    if sha256(blob).hexdigest() != content.tensors:
        raise InputError(
            f"{arrays} ({len(blob)} bytes) is damaged: its checksum is not the one in {path.name}"
        )
    try:
        found = read_tensors(blob)  # in another order, in memory that is not aligned
        tensors = {name: to_numpy(found[name]).copy() for name in content.names}
    except (SafetensorError, LookupError, TypeError):
        raise InputError(f"{arrays} is damaged: it does not hold what {path.name} says") from None
    return Checkpoint(content.step, tensors, content.record)


def _record(path: Path) -> _Content:
    try:
        content = json.loads(path.read_bytes())
        checksum = content.pop("checksum")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise InputError(f"{path} is damaged: it is not the record of a checkpoint") from None
    if checksum != _checksum(content):
        raise InputError(f"{path} is damaged: its content does not match its checksum")
    try:
        checked = _Content.model_validate(content)
    except ValidationError:
        raise InputError(f"{path} is damaged: it is not the record of a checkpoint") from None
    if checked.step != step_of(path):
        raise InputError(f"{path} is damaged: it is the checkpoint of step {checked.step}")
    return checked


def _checksum(content: dict[str, Any]) -> str:
    return sha256(json.dumps(content).encode()).hexdigest()
