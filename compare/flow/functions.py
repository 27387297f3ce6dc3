"""What a node's operation computes, by hand: the register's functions, and the few that belong to
a step rather than to an operation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from torch_parity import manual
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register import OPERATIONS, OPTIMIZERS, SCHEDULES
from torch_parity.compare.register.row import OptimizerRow, Part

BACKWARD, PARAMETERS = "_backward", "_backward_parameters"
PARTS: dict[str, Part] = {
    "": "forward",
    BACKWARD: "backward",
    PARAMETERS: "backward_parameters",
}


def accumulate(*shares: Any) -> Any:
    """dh = the sum of the shares that h's readers have in it."""
    total = shares[0]
    for share in shares[1:]:
        total = total + share
    return total


def _all_reduce(*parts: Any, rows: tuple[int, ...], reduction: Any) -> Any:
    return manual.all_reduce(parts, manual.shares(rows, reduction))


STRUCTURE: dict[str, Callable[..., Any]] = {
    "accumulate": accumulate,
    "accumulate_batches": accumulate,
    "zeros": lambda x: x * 0,
    "count": lambda t: t + 1,
    "shard": lambda batch, begin, end: batch[begin:end],
    "all_reduce": _all_reduce,
}


def _update(row: OptimizerRow) -> Callable[..., Any]:
    """(W, dW, *slots) -> (*slots, W): a step records what it remembers before the parameter.

    A recorded step counter is an array, whose powers would widen a float32 step to float64.
    """

    def update(W: Any, dW: Any, *slots: Any, **options: Any) -> Any:
        if row.counts:
            slots = (*slots[:-1], int(slots[-1]))
        made = row.update(W, dW, *slots, **options)
        new, *after = made if isinstance(made, tuple) else (made,)
        return (*after, new)

    return update


def split(operation: str) -> tuple[str, str]:
    """linear_backward_parameters -> (linear, _backward_parameters); relu -> (relu, "")."""
    for suffix in (PARAMETERS, BACKWARD):
        if operation.endswith(suffix):
            return operation.removesuffix(suffix), suffix
    return operation, ""


class Functions(Mapping[str, Callable[..., Any]]):
    """Every operation that a node may name; the register alone is looked up, never a module."""

    def __getitem__(self, operation: str) -> Callable[..., Any]:
        if operation in STRUCTURE:
            return STRUCTURE[operation]
        if operation in OPTIMIZERS:
            return _update(OPTIMIZERS[operation])
        if operation in SCHEDULES:
            return SCHEDULES[operation]
        name, suffix = split(operation)
        found: Callable[..., Any] | None = getattr(OPERATIONS[name], PARTS[suffix])
        if found is None:
            raise KeyError(operation)
        return found

    def __iter__(self) -> Iterator[str]:
        for name, row in OPERATIONS.items():
            yield from (name, name + BACKWARD)
            if row.backward_parameters:
                yield name + PARAMETERS
        yield from (*STRUCTURE, *OPTIMIZERS, *SCHEDULES)

    def __len__(self) -> int:
        return sum(1 for _ in self)


FUNCTIONS: Mapping[str, Callable[..., Any]] = Functions()

# What the formula of a known mistake may use besides: see causes/.
PRIMITIVES: dict[str, Callable[..., Any]] = {
    "log": np.log,
    "sqrt": np.sqrt,
    "sign": np.sign,
    "flip": np.flip,
    "where": np.where,
    "like": lambda array, reference: array,
    "lower": lambda x, to: x.lowered(to) if hasattr(x, "lowered") else x,
    "cut": lambda x, to: x.cut(to) if hasattr(x, "cut") else x,
    "wider": lambda x: x,
    "weigh": manual.all_reduce,
}


def apply(
    node: Node, functions: Mapping[str, Callable[..., Any]], inputs: Sequence[Any]
) -> tuple[Any, ...]:
    """The node's outputs, by its operation or by the formula that stands in for it.

    Raises:
        ValueError: it makes another number of tensors than the node says.
    """
    if node.formula is not None:
        outputs = node.formula(functions, *inputs, **node.options)
    else:
        outputs = functions[node.operation](*inputs, **node.options)
    made = outputs if isinstance(outputs, tuple) else (outputs,)
    if len(made) != len(node.outputs):
        expected = len(node.outputs)
        raise ValueError(f"{node.operation} makes {len(made)} tensors here, expected {expected}")
    return made


def once_more(node: Node) -> Callable[..., Any] | None:
    """What a recurrence is replayed by: again(functions, *inputs, **options), with the outputs as
    well in the forward. The formula of a known mistake may have one too."""
    if node.formula is not None:
        found: Callable[..., Any] | None = getattr(node.formula, "again", None)
        return found
    name, suffix = split(node.operation)
    row = OPERATIONS.get(name)
    again = row.again.get(PARTS[suffix]) if row is not None else None
    if again is None:
        return None
    return lambda table, *given, **options: again(*given, **options)


def right_formulas(node: Node) -> tuple[Node, ...]:
    """The node, and the same node by each other right formula, of its operation or its own."""
    if node.formula is not None:
        return (node,)
    name, suffix = split(node.operation)
    row = OPERATIONS.get(name)
    also = row.also.get(PARTS[suffix]) if row is not None else None
    others = [node.also] if node.also is not None else []
    if also is not None:
        others.append(lambda table, *inputs, **options: also(*inputs, **options))
    return (node, *(replace(node, formula=other) for other in others))
