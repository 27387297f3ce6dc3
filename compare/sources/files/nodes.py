"""The nodes that a trace file may name: which operations, with how many inputs, which options.

A file is somebody else's: what is not in this table is never looked up, and an option is a number
or a word that the operation knows.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, TypeAdapter, ValidationError

from torch_parity.compare.errors import InputError, suggest
from torch_parity.compare.flow.functions import BACKWARD, FUNCTIONS, PARAMETERS, split
from torch_parity.compare.flow.graph import linked
from torch_parity.compare.flow.nodes import Node, result
from torch_parity.compare.register import OPERATIONS, OPTIMIZERS, SCHEDULES
from torch_parity.manual.losses.cross_entropy import Weights
from torch_parity.manual.recording import input_names, option_names, takes_any_number
from torch_parity.manual.shapes import Dim
from torch_parity.manual.windows import Frame, Pair

MASK = "_mask"  # how the inputs that are of booleans end: none or one of them, the last
MOST = 10_000  # nodes in a file; a hundred layers have about 1,500


@dataclass(frozen=True)
class Signature:
    """What a node of this operation takes and makes, in this order; all options must be given.

    Where any_number is set, its last input stands for one or more; likewise any_outputs.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: tuple[str, ...] = ()
    any_number: bool = False
    any_outputs: bool = False


RENAMED = {"cost": "add"}  # what files of earlier versions called it
# the options that an operation did not have there, and what it did
GAINED: dict[str, dict[str, Any]] = {
    "softmax": {"dim": 1},
    "cross_entropy": {"weight": None, "ignore_index": -100, "label_smoothing": 0.0},
}


def signature(operation: str) -> Signature | None:
    """Read off the register; None for what it does not have."""
    if operation == "count":
        return Signature(("t",), ("t",))
    if operation in ("accumulate", "accumulate_batches"):
        return Signature(("shares",), ("total",), any_number=True)
    if operation in OPTIMIZERS:
        of = OPTIMIZERS[operation]
        counter = ("new_t",) if of.counts else ()
        return Signature(("W", "dW", *of.slots, *counter), (*of.slots, "W"), of.option_names)
    if operation in SCHEDULES:
        return Signature(("base_lr", "steps_done"), ("lr",), option_names(SCHEDULES[operation]))
    name, suffix = split(operation)
    row = OPERATIONS.get(name)
    if row is None:
        return None
    if not suffix:
        return Signature(row.inputs, row.outputs, row.option_names, row.any_number, row.any_outputs)
    backward = row.backward if suffix == BACKWARD else row.backward_parameters
    if backward is None:
        return None
    of_inputs = row.differentiable[1:] if suffix == PARAMETERS else row.differentiable
    makes = ("dW",) if row.kind == "penalty" else tuple(f"d{name}" for name in of_inputs)
    many = takes_any_number(backward)
    any_outputs = row.any_number and row.kind != "penalty"
    return Signature(input_names(backward), makes, option_names(backward), many, any_outputs)


def known_operations() -> list[str]:
    """Every operation that a file may name."""
    return [name for name in FUNCTIONS if signature(name)]


_Number = Annotated[float, Field(strict=True, ge=-1e30, le=1e30, allow_inf_nan=False)]
_Share = Annotated[float, Field(strict=True, ge=0, lt=1)]
_Positive = Annotated[float, Field(strict=True, gt=0, le=1e30)]
_Penalty = Annotated[float, Field(strict=True, ge=0, le=1e30)]
_Whole = Annotated[int, Field(strict=True, ge=-(2**31), lt=2**31)]  # NumPy's axes are C's int
_Count = Annotated[int, Field(strict=True, ge=1, le=2**53)]

# Where a number may not be any, of a loss or penalty, and of an optimizer; all other options are of
# the type that the function says.
OF_LOSSES: dict[str, Any] = {
    "reduction": Literal["mean", "sum", "batchmean"],
    "label_smoothing": Annotated[float, Field(strict=True, ge=0, le=1)],
    "beta": _Positive,
    "delta": _Positive,
    "l1": _Penalty,
    "l2": _Penalty,
    "m": _Count,
}
OF_OPTIMIZERS: dict[str, Any] = {  # and of a schedule of the learning rate
    "step_size": _Count,
    "gamma": _Positive,
    "steps": _Count,
    "warmup": Annotated[int, Field(strict=True, ge=0, le=2**53)],
    "lr": _Positive,
    "momentum": _Share,
    "alpha": _Share,
    "beta": _Share,
    "beta1": _Share,
    "beta2": _Share,
    "eps": _Positive,
    "weight_decay": _Penalty,
}
# A padding says how much memory an operation takes.
_Places = Annotated[int, Field(strict=True, ge=0, le=1024)]
_Pair = _Places | tuple[_Places, _Places]
TYPES: dict[Any, Any] = {
    float: _Number,
    int: _Whole,
    bool: Annotated[bool, Field(strict=True)],
    tuple[int, ...]: tuple[_Whole, ...],
    int | tuple[int, ...]: _Whole | tuple[_Whole, ...],
    Dim: _Whole | tuple[_Whole, ...] | None,
    Pair: _Pair,
    Pair | None: _Pair | None,
    Frame: tuple[_Places, ...],
    Weights: tuple[_Number, ...] | None,
}


def option_type(operation: str, name: str) -> TypeAdapter[Any]:
    """What an option of this operation may be."""
    row = OPERATIONS.get(split(operation)[0])
    if row is None:
        return TypeAdapter(OF_OPTIMIZERS[name])
    if name in OF_LOSSES and row.kind in ("loss", "penalty"):
        return TypeAdapter(OF_LOSSES[name])
    hint = get_type_hints(row.forward, include_extras=True).get(name, float)
    return TypeAdapter(TYPES.get(hint, hint), config=ConfigDict(strict=True))


class NodeRecord(BaseModel):
    """One node as a file writes it."""

    model_config = ConfigDict(strict=True, extra="forbid")

    operation: str
    inputs: list[str]
    outputs: list[str]
    options: dict[str, bool | int | float | str | tuple[int | float, ...] | None] = {}
    layer: NonNegativeInt = 0


def written(nodes: Collection[Node]) -> list[dict[str, Any]]:
    """The nodes as records for a file."""
    return [
        NodeRecord(
            operation=n.operation,
            inputs=list(n.inputs),
            outputs=list(n.outputs),
            options=dict(n.options),
            layer=n.layer,
        ).model_dump()
        for n in nodes
    ]


def checked(
    records: list[NodeRecord], given: Collection[str], made: Collection[str]
) -> tuple[Node, ...]:
    """The nodes, each known to be one that can be replayed.

    Raises:
        InputError: an unknown operation or option, a wrong number of inputs or outputs, an input
            that nothing records or makes, an output made twice.
    """
    if len(records) > MOST:
        raise InputError(f"nodes: {len(records):,} of them, expected {MOST:,} at most")
    known = {*given, *made, *(f"new_{name}" for name in given if name in made)}
    makers: dict[str, int] = {}
    nodes = []
    for i, record in enumerate(records):
        label = f"nodes[{i}] ({record.operation[:40]!r})"
        node = _node(label, record, len(records))
        for name in node.inputs:
            if name not in known:
                raise InputError(
                    f"{label} takes {name[:80]!r}, which is neither in the file nor made by a node "
                    "before it"
                )
        for name in node.outputs:
            if name in makers:
                raise InputError(f"{label} makes {name[:80]!r}, as nodes[{makers[name]}] does")
            if name in node.inputs and name not in given:
                raise InputError(f"{label} updates {name[:80]!r}, of which nothing was given")
            makers[name] = i
            known.add(result(node, name))
        nodes.append(node)
    return linked(nodes)


def require_numbers(nodes: Collection[Node], booleans: Collection[str]) -> None:
    """Booleans say what attention may see; they are no numbers to compute with.

    Raises:
        InputError: a node takes one of these tensors for anything but a mask.
    """
    for i, node in enumerate(nodes):
        known = signature(node.operation)
        expected = known.inputs if known else ()
        for at, name in enumerate(node.inputs):
            if name in booleans and not expected[min(at, len(expected) - 1)].endswith(MASK):
                raise InputError(
                    f"nodes[{i}] ({node.operation!r}) takes {name[:80]!r}, which is of booleans; "
                    "expected numbers"
                )


def _node(label: str, record: NodeRecord, most_layers: int) -> Node:
    operation = RENAMED.get(record.operation, record.operation)
    known = signature(operation)
    if known is None:
        hint = suggest(record.operation[:40], known_operations())
        raise InputError(f"{label} is no operation that the judge knows: {hint}")
    _fits(label, "inputs", record.inputs, known.inputs, known.any_number)
    _fits(label, "outputs", record.outputs, known.outputs, known.any_outputs)
    given = {**GAINED.get(split(operation)[0], {}), **record.options}
    if set(given) != set(known.options):
        came = ", ".join(record.options)[:80] or "none"
        expected = ", ".join(known.options) or "none"
        raise InputError(f"{label}: options are {came}; expected {expected}")
    if record.layer > most_layers:
        raise InputError(f"{label}: layer is {record.layer}, with {most_layers} nodes in all")
    options = {name: _option(label, operation, name, v) for name, v in given.items()}
    return Node(operation, tuple(record.inputs), tuple(record.outputs), options)


def _fits(
    label: str, what: str, came: list[str], expected: tuple[str, ...], any_number: bool = False
) -> None:
    if what == "inputs" and any_number and expected[-1].endswith(MASK):
        any_number, expected = False, expected[: max(len(came), len(expected) - 1)]
    right = len(came) >= len(expected) if any_number else len(came) == len(expected)
    if not right or (what == "outputs" and len(set(came)) < len(came)):
        raise InputError(
            f"{label}: {what} are {', '.join(came)[:80] or 'none'}; expected "
            f"{'one or more of ' if any_number else ''}{', '.join(expected)}"
        )


def _option(label: str, operation: str, name: str, value: object) -> Any:
    try:
        return option_type(operation, name).validate_python(value)
    except ValidationError as error:
        raise InputError(
            f"{label}: {name} is {str(value)[:40]}: {error.errors()[0]['msg']}"
        ) from None
