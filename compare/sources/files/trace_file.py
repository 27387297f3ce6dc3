"""Traces as files, so that code in C, CUDA, JAX or Julia, or an earlier run, can be judged.

A trace is a safetensors file whose metadata say what the tensors are; docs/trace-format.md
describes it. .npz is read as well. Nothing in a file is ever unpickled or executed.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Json, ValidationError
from safetensors.numpy import save as serialize

from torch_parity.compare.bounds.precision import is_half
from torch_parity.compare.errors import InputError
from torch_parity.compare.flow.trace import Trace
from torch_parity.compare.sources.files.access import reading, writing
from torch_parity.compare.sources.files.nodes import NodeRecord, checked, require_numbers, written
from torch_parity.compare.sources.files.npz import read_npz, write_npz
from torch_parity.compare.sources.files.safetensors import in_fixed_order, read_safetensors
from torch_parity.compare.sources.files.stored import GIVEN, MADE, NAME, Entry, Stored

FORMAT = "torch-parity trace"
MODEL_FORMAT = "torch-parity model"  # of `parity record --module`: compare.aten.files


@dataclass(frozen=True)
class TraceFile(Trace):
    """A trace in a file; its tensors are read on access.

    about is the file's description of itself. notes say how the file was interpreted.
    """

    given: Stored
    made: Stored
    about: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class _Metadata(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    format: Literal["torch-parity trace"]
    version: Literal["1"]
    order: Json[list[str]] | None = None
    nodes: Json[list[NodeRecord]] = []
    about: Json[dict[str, Any]] = {}


def save(path: Path, trace: Trace, about: Mapping[str, Any]) -> None:
    """Write the trace, completely or not at all: as .npz if the name ends so, else as safetensors.

    Raises:
        InputError: the folder cannot be written to, or .npz has no type for a tensor (bfloat16).
    """
    tensors = {
        **{GIVEN + name: a for name, a in trace.given.items()},
        **{MADE + name: a for name, a in trace.made.items()},
    }
    metadata = {"format": FORMAT, "version": "1", "order": json.dumps(list(trace.made))}
    if trace.nodes:
        metadata["nodes"] = json.dumps(written(trace.nodes))
    if about:
        metadata["about"] = json.dumps(about)
    with writing(path) as half_done:
        if path.suffix == ".npz":
            write_npz(half_done, path.name, metadata, tensors)
        else:
            data = serialize({n: np.asarray(a, order="C") for n, a in tensors.items()}, metadata)
            half_done.write_bytes(in_fixed_order(data))


def load(path: Path) -> TraceFile:
    """The trace in a safetensors or .npz file.

    Raises:
        InputError: there is no such file, it is damaged, or it is not a trace.
    """
    with reading(path, "a trace file, as parity record writes it"):
        return _load(path)


def _load(path: Path) -> TraceFile:
    with path.open("rb") as stream:
        zipped = stream.read(2) == b"PK"
    metadata, entries = read_npz(path) if zipped else read_safetensors(path)
    if isinstance(metadata, dict) and metadata.get("format") == MODEL_FORMAT:
        raise InputError(
            f"{path} is a recording of a torch model: use `parity modules` or `parity model`"
        )
    given, made = _roles(path, entries)
    halves = [name for name, e in entries.items() if is_half(e.read_as)]
    shown = ", ".join(halves[:6]) + (f" and {len(halves) - 6} more" if halves[6:] else "")
    notes = (
        [f"{path.name}: {shown}: 16-bit numbers, judged with the rounding of their type"]
        if halves
        else []
    )
    said = _said(path, metadata)
    if said is None:
        notes.append(
            f"{path.name} has no metadata with the format {FORMAT!r}, so it names no operations"
        )
        return TraceFile(Stored(given), Stored(made), notes=tuple(notes))
    made = _ordered(path, made, said.order)
    try:
        nodes = checked(said.nodes, given, made)
        require_numbers(nodes, {name for name, e in given.items() if e.dtype == bool})
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return TraceFile(Stored(given), Stored(made), nodes, said.about, tuple(notes))


def _roles(path: Path, entries: Mapping[str, Entry]) -> tuple[dict[str, Entry], dict[str, Entry]]:
    """The tensors that the step was given and those it computed: given/W1, made/W1 or just W1."""
    given: dict[str, Entry] = {}
    made: dict[str, Entry] = {}
    for stored, entry in entries.items():
        role = given if stored.startswith(GIVEN) else made
        name = stored.removeprefix(GIVEN if role is given else MADE)
        if not NAME.fullmatch(name) or name.startswith("new_"):
            raise InputError(
                f"{path}: {stored[:80]!r} is not a valid name of a tensor; expected at most 200 "
                "letters, digits and _ . - / (names with new_ are reserved for updated tensors)"
            )
        if name in role:
            raise InputError(
                f"{path}: {name!r} is in the file twice, as {MADE}{name} and as {name}"
            )
        role[name] = entry
    if not entries:
        raise InputError(f"{path} holds no tensors, so there is nothing to judge")
    return given, made


def _said(path: Path, metadata: object) -> _Metadata | None:
    """The metadata, if they are of this format."""
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: __metadata__ is not JSON: {error}") from None
    if metadata is None or (isinstance(metadata, dict) and not _claims(metadata)):
        return None
    try:
        return _Metadata.model_validate(metadata)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(("__metadata__", *map(str, first["loc"])))[:120]
        came = str(first["input"])[:40]
        raise InputError(f"{path}: {where}: {first['msg']} (it is {came!r})") from None


def _claims(metadata: Mapping[str, object]) -> bool:
    """Whether the metadata are meant for a trace; other programs write {"format": "pt"}, say."""
    ours = _Metadata.model_fields.keys() - {"format"}
    strange = not all(isinstance(value, str) for value in metadata.values())
    return metadata.get("format") == FORMAT or bool(ours & metadata.keys()) or strange


def _ordered(path: Path, made: dict[str, Entry], order: Iterable[str] | None) -> dict[str, Entry]:
    if order is None:
        return made
    names = list(order)
    if absent := [name for name in names if name not in made]:
        raise InputError(f"{path}: order names {absent[0][:80]!r}, which is not among the computed")
    if left := list(made.keys() - set(names)):
        raise InputError(f"{path}: order leaves out {min(left)[:80]!r}")
    if len(names) > len(made):
        raise InputError(f"{path}: order names a tensor twice")
    return {name: made[name] for name in names}
