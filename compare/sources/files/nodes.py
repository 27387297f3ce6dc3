"""The nodes that a trace file may name: which operations, with how many inputs, which options.

A file is somebody else's: what is not in this table is never looked up, and an option is a number
or a word that the operation knows.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, TypeAdapter, ValidationError

from torch_parity.compare.errors import InputError, suggest
from torch_parity.compare.flow.nodes import Node, result

MOST = 10_000  # nodes in a file; a hundred layers have about 1,500


@dataclass(frozen=True)
class Signature:
    """What a node of this operation takes and makes, in this order; all options must be given.

    Where any_number is set, its one input stands for one or more.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: tuple[str, ...] = ()
    any_number: bool = False


def _activation(name: str, *options: str) -> dict[str, Signature]:
    return {
        name: Signature(("z",), ("a",), options),
        f"{name}_backward": Signature(("da", "z"), ("dz",), options),
    }


def _loss(name: str, of: str) -> dict[str, Signature]:
    return {
        name: Signature((of, "y"), ("loss",), ("reduction",)),
        f"{name}_backward": Signature((of, "y"), (f"d{of}",), ("reduction",)),
    }


SIGNATURES: dict[str, Signature] = {
    "linear": Signature(("x", "W", "b"), ("z",)),
    "linear_backward": Signature(("dz", "x", "W"), ("dx", "dW", "db")),
    "linear_backward_parameters": Signature(("dz", "x"), ("dW", "db")),
    "dropout": Signature(("a", "mask"), ("h",)),
    "dropout_backward": Signature(("dh", "mask"), ("da",)),
    **_activation("sigmoid"),
    **_activation("tanh"),
    **_activation("relu"),
    **_activation("leaky_relu", "negative_slope"),
    **_activation("softmax"),
    **_activation("identity"),
    **_loss("binary_cross_entropy", "a"),
    **_loss("binary_cross_entropy_with_logits", "z"),
    **_loss("cross_entropy", "z"),
    **_loss("mse_loss", "a"),
    "penalty": Signature(("W",), ("penalty",), ("l1", "l2", "m"), any_number=True),
    "penalty_backward": Signature(("dW_loss", "W"), ("dW",), ("l1", "l2", "m")),
    "cost": Signature(("loss", "penalty"), ("cost",)),
    "count": Signature(("t",), ("t",)),
    "sgd": Signature(("W", "dW"), ("W",), ("lr",)),
    "momentum": Signature(("W", "dW", "v"), ("v", "W"), ("lr", "momentum")),
    "momentum_course": Signature(("W", "dW", "v"), ("v", "W"), ("lr", "beta")),
    "adam": Signature(
        ("W", "dW", "v", "s", "new_t"), ("v", "s", "W"), ("lr", "beta1", "beta2", "eps")
    ),
}

_Number = Annotated[float, Field(strict=True, ge=-1e30, le=1e30, allow_inf_nan=False)]
_Share = Annotated[float, Field(strict=True, ge=0, lt=1)]
_Positive = Annotated[float, Field(strict=True, gt=0, le=1e30)]
_Penalty = Annotated[float, Field(strict=True, ge=0, le=1e30)]

OPTIONS: dict[str, TypeAdapter[Any]] = {
    "negative_slope": TypeAdapter(_Number),
    "reduction": TypeAdapter(Literal["mean", "sum"]),
    "l1": TypeAdapter(_Penalty),
    "l2": TypeAdapter(_Penalty),
    "m": TypeAdapter(Annotated[int, Field(strict=True, ge=1, le=2**53)]),
    "lr": TypeAdapter(_Positive),
    "momentum": TypeAdapter(_Share),
    "beta": TypeAdapter(_Share),
    "beta1": TypeAdapter(_Share),
    "beta2": TypeAdapter(_Share),
    "eps": TypeAdapter(_Positive),
}


class NodeRecord(BaseModel):
    """One node as a file writes it."""

    model_config = ConfigDict(strict=True, extra="forbid")

    operation: str
    inputs: list[str]
    outputs: list[str]
    options: dict[str, int | float | str] = {}
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
    return tuple(nodes)


def _node(label: str, record: NodeRecord, most_layers: int) -> Node:
    signature = SIGNATURES.get(record.operation)
    if signature is None:
        hint = suggest(record.operation[:40], SIGNATURES)
        raise InputError(f"{label} is no operation that the judge knows: {hint}")
    _fits(label, "inputs", record.inputs, signature.inputs, signature.any_number)
    _fits(label, "outputs", record.outputs, signature.outputs)
    if set(record.options) != set(signature.options):
        came = ", ".join(record.options)[:80] or "none"
        expected = ", ".join(signature.options) or "none"
        raise InputError(f"{label}: options are {came}; expected {expected}")
    if record.layer > most_layers:
        raise InputError(f"{label}: layer is {record.layer}, with {most_layers} nodes in all")
    options = {name: _option(label, name, value) for name, value in record.options.items()}
    return Node(
        record.operation, tuple(record.inputs), tuple(record.outputs), options, record.layer
    )


def _fits(
    label: str, what: str, came: list[str], expected: tuple[str, ...], any_number: bool = False
) -> None:
    right = len(came) >= 1 if any_number else len(came) == len(expected)
    if not right or (what == "outputs" and len(set(came)) < len(came)):
        raise InputError(
            f"{label}: {what} are {', '.join(came)[:80] or 'none'}; expected "
            f"{'one or more of ' if any_number else ''}{', '.join(expected)}"
        )


def _option(label: str, name: str, value: object) -> Any:
    try:
        return OPTIONS[name].validate_python(value)
    except ValidationError as error:
        raise InputError(
            f"{label}: {name} is {str(value)[:40]}: {error.errors()[0]['msg']}"
        ) from None
