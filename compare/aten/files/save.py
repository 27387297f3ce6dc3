"""A recorded step is written: a safetensors file that has a flat tensor for each storage.

The header is written here, since the safetensors library needs all numbers in memory at once.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from pydantic import ValidationError

from torch_parity.compare.aten.files.arguments import written
from torch_parity.compare.aten.files.layout import (
    VERSION,
    CallData,
    FileData,
    FunctionData,
    RecordData,
    TensorData,
)
from torch_parity.compare.aten.memory import Place
from torch_parity.compare.aten.record import Call, FunctionCall, Record
from torch_parity.compare.aten.snapshots import TensorRef, span
from torch_parity.compare.aten.watch import Watch
from torch_parity.compare.aten.writers import is_view, uninitialised
from torch_parity.compare.errors import InputError
from torch_parity.compare.sources.files.access import writing
from torch_parity.compare.sources.files.trace_file import MODEL_FORMAT
from torch_parity.compare.tensors import to_numpy

# Of torch's types those that safetensors names alike; any other is stored as bytes.
NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
}  # fmt: skip

# Outputs that are a kernel's own memory, which only its backward reads, and the judge never does.
WORKSPACES = {"mkldnn_rnn_layer": 3}


class _Tensors:
    """The tensors of a record, numbered as they come."""

    def __init__(self) -> None:
        self.numbers: dict[TensorRef, int] = {}

    def number(self, ref: TensorRef) -> int:
        return self.numbers.setdefault(ref, len(self.numbers))

    def optional(self, refs: tuple[TensorRef | None, ...] | None) -> list[int | None] | None:
        return None if refs is None else [None if r is None else self.number(r) for r in refs]

    def named(self, refs: Mapping[str, TensorRef]) -> dict[str, int]:
        return {name: self.number(ref) for name, ref in refs.items()}


def save_records(
    path: Path,
    own: Record,
    float64: Record | None,
    options: Mapping[str, Mapping[str, Any]],
    reason: str,
    watch: Watch,
) -> None:
    """Write the file, completely or not at all.

    Raises:
        InputError: the folder cannot be written to, or a name has unprintable characters.
    """
    records = {"own": own} | ({} if float64 is None else {"float64": float64})
    tensors = {name: _Tensors() for name in records}
    try:
        data = {name: _record(record, tensors[name]) for name, record in records.items()}
        about = FileData(
            own=data["own"],
            float64=data.get("float64"),
            reason=reason,
            options=_options(options),
            written_by=f"torch-parity {version('torch-parity')}, torch {torch.__version__}",
        )
    except ValidationError as error:
        first = error.errors()[0]
        came = str(first["input"])[:40]
        raise InputError(f"the step cannot be stored: {first['msg']} (it is {came!r})") from None
    storages = [
        storage
        for name, record in records.items()
        for storage in _storages(name, record, tensors[name].numbers)
    ]
    _write(path, _header(about, storages), storages, watch)


class _Storage:
    """One storage at one version: its name, type and numbers of bytes in the file."""

    def __init__(self, name: str, record: Record, refs: list[TensorRef], empty: bool) -> None:
        self.name, self._record, self._refs, self._empty = name, record, refs, empty
        self.nbytes = record.snapshots.nbytes_of(refs[0])
        kinds = {ref.dtype for ref in refs}
        kind = kinds.pop() if len(kinds) == 1 else torch.uint8
        fits = kind in NAMES and self.nbytes % kind.itemsize == 0
        self.kind = NAMES[kind] if fits else "U8"
        self.shape = [self.nbytes // kind.itemsize if fits else self.nbytes]

    def data(self) -> bytes | memoryview:
        """Its bytes; zeros where no tensor lies or nothing was written: what happens to be there is
        another time something else."""
        if self._empty:
            return bytes(self.nbytes)
        at = self._refs[0]
        whole = TensorRef(at.storage, at.version, (self.nbytes,), (1,), 0, torch.uint8)
        found = to_numpy(self._record.value(whole))
        if not any(_fills(ref, self.nbytes) for ref in self._refs):
            found = np.where(_covered(self._refs, self.nbytes), found, np.uint8(0))
        return found.data


def _fills(ref: TensorRef, nbytes: int) -> bool:
    """Whether the tensor lies in the whole storage, without gaps."""
    entries = prod(ref.shape)
    return entries == span(ref) and entries * ref.dtype.itemsize == nbytes


def _covered(refs: list[TensorRef], nbytes: int) -> np.ndarray:
    """Which bytes of a storage belong to a tensor."""
    found = np.zeros(nbytes, bool)
    for ref in refs:
        size = ref.dtype.itemsize
        strides = [*(step * size for step in ref.stride), 1]
        as_strided(found[ref.offset * size :], (*ref.shape, size), strides)[...] = True
    return found


def _storages(name: str, record: Record, refs: Mapping[TensorRef, int]) -> Iterator[_Storage]:
    places: dict[tuple[int, int], list[TensorRef]] = {}
    for ref in refs:
        if not ref.unjudged:
            places.setdefault(ref.place, []).append(ref)
    empty = _without_content(record)
    for place in sorted(places):
        label = f"{name}/{place[0]}.{place[1]}"
        yield _Storage(label, record, places[place], place in empty)


def _without_content(record: Record) -> set[Place]:
    """Memory that nothing was written into, less what is read all the same: the user's program may
    write into it without torch."""
    found = uninitialised(record)
    workspaces = set()
    for call in record.calls:
        if call.operation in WORKSPACES and len(call.outputs) > WORKSPACES[call.operation]:
            workspaces.add(call.outputs[WORKSPACES[call.operation]].place)
        after = {(r.storage, r.version - 1) for r in call.outputs}
        if not is_view(call):
            found -= {ref.place for ref in call.inputs} - after
    return found | workspaces


def _header(about: FileData, storages: list[_Storage]) -> bytes:
    said = json.dumps(about.model_dump(exclude_defaults=True), separators=(",", ":"))
    header: dict[str, Any] = {
        "__metadata__": {"format": MODEL_FORMAT, "version": VERSION, "recording": said}
    }
    end = 0
    for s in storages:
        begin, end = end, end + s.nbytes
        header[s.name] = {"dtype": s.kind, "shape": s.shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def _write(path: Path, header: bytes, storages: list[_Storage], watch: Watch) -> None:
    with writing(path) as half_done, half_done.open("wb") as stream:
        _write_all(stream, header, storages, watch(f"writing {path.name}", len(storages)))


def _write_all(
    stream: IO[bytes], header: bytes, storages: list[_Storage], tick: Callable[[], None]
) -> None:
    stream.write(len(header).to_bytes(8, "little") + header)
    for storage in storages:
        stream.write(storage.data())
        tick()


def _record(record: Record, tensors: _Tensors) -> RecordData:
    said = RecordData(
        given=tensors.named(record.given),
        calls=[_call(call, tensors) for call in record.calls],
        functions=[_function(call, tensors) for call in record.functions],
        results=tensors.named(record.results),
        named=tensors.named(record.named),
        outside=sorted(record.outside),
        others={name: written(value, tensors.number) for name, value in record.others.items()},
        notes=record.notes,
        compiled=record.compiled,
        graphs=record.graphs,
        graph_breaks=record.graph_breaks,
        eager_instead=record.eager_instead,
        undrawn=record.undrawn,
        stored=record.stored,
        unregistered=[list(shape) for shape in record.unregistered],
        seeded=record.seeded,
        attributes={n: written(v, tensors.number) for n, v in record.attributes.items()},
        tensors=[],
    )
    said.tensors = [_tensor(ref) for ref in tensors.numbers]
    return said


def _tensor(ref: TensorRef) -> TensorData:
    return TensorData(
        at=[ref.storage, ref.version],
        shape=list(ref.shape),
        stride=list(ref.stride),
        offset=ref.offset,
        dtype=str(ref.dtype).removeprefix("torch."),
        unjudged=ref.unjudged,
        device=ref.device,
        complex=ref.complex,
    )


def _call(call: Call, tensors: _Tensors) -> CallData:
    return CallData(
        operation=call.name,
        args=[written(x, tensors.number) for x in call.args],
        kwargs={name: written(x, tensors.number) for name, x in call.kwargs.items()},
        outputs=[tensors.number(ref) for ref in call.outputs],
        phase=call.phase,
        module=call.module,
        visit=call.visit,
        line=call.line,
        forward=call.forward,
        node=call.node,
        function=call.function,
    )


def _function(call: FunctionCall, tensors: _Tensors) -> FunctionData:
    return FunctionData(
        name=call.name,
        args=[written(x, tensors.number) for x in call.args],
        needs=list(call.needs),
        module=call.module,
        line=call.line,
        first=call.first,
        end=call.end,
        outputs=[tensors.number(ref) for ref in call.outputs],
        upstream=tensors.optional(call.upstream),
        gradients=tensors.optional(call.gradients),
    )


def _options(options: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """A learning rate may be a tensor of one number."""
    return {
        parameter: {
            name: written(x.item() if _is_number(x) else x, lambda _: 0) for name, x in own.items()
        }
        for parameter, own in options.items()
    }


def _is_number(x: Any) -> bool:
    return isinstance(x, torch.Tensor) and x.numel() == 1
