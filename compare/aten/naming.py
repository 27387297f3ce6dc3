"""What a person reads for a tensor or a call of a record."""

from typing import Any

from torch_parity.compare.aten.record import Call, Record
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.aten.writers import writers_of


class TensorNames:
    """What to call the tensors of a record: by their given name, or by what made them."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._writers = writers_of(record)
        self._given = {ref.place: name for name, ref in reversed(record.given.items())}
        self._results = {ref.place: name for name, ref in reversed(record.results.items())}

    def of(self, ref: TensorRef) -> str:
        """fc1.weight, loss, "layer_norm of blocks.0.ln1"."""
        if ref.place in self._given:
            return self._given[ref.place]
        if ref.place in self._results:
            return self._results[ref.place]
        call = self._writers.get(ref.place)
        if call is None:
            return "a tensor"
        where = call.module or "the model"
        grad = (
            " backward"
            if call.phase == "backward" and not call.operation.endswith("backward")
            else ""
        )
        return f"{call.operation} of {where}{grad}"


def formula(call: Call, names: TensorNames) -> str:
    """The call as one would write it: gelu(fc1 of ..., approximate='tanh')."""
    schema = call.overload._schema
    shown = [_shown(value, names) for value in call.args]
    for argument in schema.arguments[len(call.args) :]:
        if argument.name in call.kwargs:
            value = call.kwargs[argument.name]
            if not argument.has_default_value() or value != argument.default_value:
                shown.append(f"{argument.name}={_shown(value, names)}")
    return f"{call.operation}({', '.join(shown)})"


def _shown(value: Any, names: TensorNames) -> str:
    if isinstance(value, TensorRef):
        return names.of(value)
    if isinstance(value, list | tuple):
        more = ", ..." if len(value) > 4 else ""
        return f"[{', '.join(_shown(v, names) for v in value[:4])}{more}]"
    if isinstance(value, float):
        return f"{value:.9g}"
    return repr(value)


def where(call: Call) -> str:
    """blocks.0.mlp.1, backward, model.py:78"""
    line = call.line.rpartition("/")[2]
    return ", ".join(part for part in (call.module or "the model", call.phase, line) if part)
