"""A recorded step is read. The file may come from anywhere: nothing in it is executed or unpickled,
every size is checked, and an operation is looked up by name among torch's own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from torch_parity.compare.aten.files.arguments import NAMED, read
from torch_parity.compare.aten.files.layout import (
    VERSION,
    CallData,
    FileData,
    FunctionData,
    RecordData,
    TensorData,
)
from torch_parity.compare.aten.files.operations import operation
from torch_parity.compare.aten.files.sizes import is_too_large, most_entries, runnable
from torch_parity.compare.aten.files.stored import StoredTensors
from torch_parity.compare.aten.memory import Place
from torch_parity.compare.aten.record import Call, FunctionCall, Record
from torch_parity.compare.aten.snapshots import TensorRef, span
from torch_parity.compare.errors import InputError
from torch_parity.compare.sources.files.access import reading
from torch_parity.compare.sources.files.safetensors import parsed, read_safetensors
from torch_parity.compare.sources.files.stored import Entry, check_shape
from torch_parity.compare.sources.files.trace_file import MODEL_FORMAT


@dataclass(frozen=True)
class Loaded:
    """What a file holds; see FileData."""

    own: Record
    float64: Record | None
    options: dict[str, dict[str, Any]]
    reason: str
    written_by: str


def load_records(path: Path) -> Loaded:
    """The recorded step in a file.

    Raises:
        InputError: there is no such file, it is damaged, or it is no recorded step.
    """
    with reading(path, "a file of `parity record --module`"):
        return _load(path)


def _load(path: Path) -> Loaded:
    metadata, entries = read_safetensors(path)
    data = _said(path, metadata)
    most = most_entries(path.stat().st_size)
    records = {}
    for name, said in (("own", data.own), ("float64", data.float64)):
        own = {label: e for label, e in entries.items() if label.startswith(f"{name}/")}
        if said is not None:
            with _explained(f"{path}: {name}"):
                records[name] = _record(said, _by_place(own, len(name) + 1), most)
            entries = {label: e for label, e in entries.items() if label not in own}
    if entries:
        raise InputError(f"{path}: {next(iter(entries))[:80]!r} is not among the recorded tensors")
    with _explained(f"{path}: options"):
        options = {p: {n: read(x, []) for n, x in own.items()} for p, own in data.options.items()}
    return Loaded(records["own"], records.get("float64"), options, data.reason, data.written_by)


@contextmanager
def _explained(label: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, RecursionError, OverflowError) as error:
        raise InputError(f"{label}: {error}") from None


def _said(path: Path, metadata: object) -> FileData:
    expected = f"expected a file of `parity record --module` (format {MODEL_FORMAT!r})"
    if not isinstance(metadata, dict) or metadata.get("format") != MODEL_FORMAT:
        raise InputError(f"{path} is no recorded model; {expected}. `parity diff` reads traces")
    if metadata.get("version") != VERSION or metadata.keys() != {"format", "version", "recording"}:
        raise InputError(f"{path} is of another version; expected version {VERSION!r}")
    with _explained(f"{path}: recording"):
        if not isinstance(metadata["recording"], str):
            raise ValueError("it is not JSON")
        said = parsed(metadata["recording"])
    try:
        return FileData.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(("recording", *map(str, first["loc"])))[:120]
        came = str(first["input"])[:40]
        raise InputError(f"{path}: {where}: {first['msg']} (it is {came!r})") from None


def _by_place(entries: Mapping[str, Entry], skipped: int) -> dict[Place, Entry]:
    """Entries by storage and version: own/12.3 is (12, 3)."""
    found = {}
    for label, entry in entries.items():
        storage, dot, version = label[skipped:].partition(".")
        place = storage, version
        if not dot or not all(n.isascii() and n.isdigit() and len(n) < 10 for n in place):
            raise ValueError(f"{label[:80]!r} is not the name of a storage")
        if label[skipped:] != f"{int(storage)}.{int(version)}":
            raise ValueError(f"{label[:80]!r} is not the name of a storage")
        found[int(storage), int(version)] = entry
    return found


def _record(said: RecordData, entries: Mapping[Place, Entry], most: int) -> Record:
    tensors = [_tensor(t, entries, most) for t in said.tensors]
    if left := entries.keys() - {ref.place for ref in tensors}:
        raise ValueError(f"no tensor lies in the storage {min(left)}")
    record = Record(StoredTensors(entries))
    for i, data in enumerate(said.calls):
        call = _call(i, data, tensors, said)
        call.overload = runnable(call, record.value, most)
        record.calls.append(call)
    record.functions += [
        _function(i, f, tensors, len(record.calls)) for i, f in enumerate(said.functions)
    ]
    record.given |= _named(said.given, tensors)
    record.results |= _named(said.results, tensors)
    record.named |= _named(said.named, tensors)
    record.others |= {name: read(value, tensors) for name, value in said.others.items()}
    record.outside |= {*said.outside}
    record.notes += said.notes
    record.compiled, record.graphs = said.compiled, said.graphs
    record.graph_breaks = said.graph_breaks
    record.eager_instead, record.undrawn = said.eager_instead, said.undrawn
    record.stored, record.seeded = said.stored, said.seeded
    record.unregistered = [tuple(shape) for shape in said.unregistered]
    record.attributes = {name: read(v, tensors) for name, v in said.attributes.items()}
    return record


def _tensor(said: TensorData, entries: Mapping[Place, Entry], most: int) -> TensorRef:
    storage, version = said.at
    shape, stride = tuple(said.shape), tuple(said.stride)
    if said.dtype not in NAMED["dtype"]:
        raise ValueError(f"{said.dtype[:40]!r} is not a type of torch")
    dtype: torch.dtype = NAMED["dtype"][said.dtype]
    check_shape("a tensor", shape)
    unjudged = said.unjudged
    if not unjudged and is_too_large(shape, most):
        unjudged = "tensor with more numbers than a file of this size can hold"
    ref = TensorRef(
        storage, version, shape, stride, said.offset, dtype, unjudged, said.device, said.complex
    )
    if said.unjudged:
        if storage >= 0:
            raise ValueError("a tensor without numbers lies in a storage")
        return ref
    entry = entries.get(ref.place)
    if entry is None:
        raise ValueError(f"a tensor lies in the storage {ref.place}, which the file does not hold")
    if len(shape) != len(stride) or dtype.is_complex or "q" in said.dtype:
        raise ValueError(f"a tensor of {said.dtype} has shape {list(shape)}, stride {list(stride)}")
    end = (ref.offset + span(ref)) * dtype.itemsize
    held = entry.size * entry.dtype.itemsize
    if max(end, ref.offset * dtype.itemsize) > held:
        raise ValueError(
            f"a tensor ends at byte {end} of the storage {ref.place}, which has {held}"
        )
    return ref


def _call(i: int, said: CallData, tensors: list[TensorRef], record: RecordData) -> Call:
    if said.forward is not None and said.forward >= i:
        raise ValueError(f"call {i} names the call {said.forward} as its forward call")
    if said.function is not None and said.function >= len(record.functions):
        raise ValueError(f"call {i} names the function {said.function}, which is not recorded")
    return Call(
        i,
        operation(said.operation),
        tuple(read(x, tensors) for x in said.args),
        {name: read(x, tensors) for name, x in said.kwargs.items()},
        tuple(_at(n, tensors) for n in said.outputs),
        said.phase,
        said.module,
        said.visit,
        said.line,
        said.forward,
        said.node,
        said.function,
    )


def _function(i: int, said: FunctionData, tensors: list[TensorRef], calls: int) -> FunctionCall:
    if len(said.needs) != len(said.args) or not said.first <= said.end <= calls:
        raise ValueError(f"function {i} ({said.name}) does not fit the calls")
    return FunctionCall(
        i,
        said.name,
        tuple(read(x, tensors) for x in said.args),
        tuple(said.needs),
        said.module,
        said.line,
        said.first,
        said.end,
        tuple(_at(n, tensors) for n in said.outputs),
        _optional(said.upstream, tensors),
        _optional(said.gradients, tensors),
    )


def _optional(
    numbers: list[int | None] | None, tensors: list[TensorRef]
) -> tuple[TensorRef | None, ...] | None:
    return None if numbers is None else tuple(n if n is None else _at(n, tensors) for n in numbers)


def _named(said: Mapping[str, int], tensors: list[TensorRef]) -> dict[str, TensorRef]:
    return {name: _at(number, tensors) for name, number in said.items()}


def _at(number: int, tensors: list[TensorRef]) -> TensorRef:
    if number >= len(tensors):
        raise ValueError(f"tensor {number} is named, and there are {len(tensors)}")
    return tensors[number]
