"""One operation of the register by itself, forward and backward on both sides: what a model's step
is to the model. No model has to contain the operation."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from torch_parity.compare.causes.plant import execute
from torch_parity.compare.flow.functions import BACKWARD
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register.row import Kind, Operation
from torch_parity.compare.sources.recorded import Both
from torch_parity.manual.recording import option_names

# The kinds of operations whose mistakes are shown in the operation by itself
KINDS: tuple[Kind, ...] = ("layer", "pooling", "arithmetic", "reduction", "product", "layout")


def nodes_of(
    row: Operation,
    options: Mapping[str, Any],
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
) -> tuple[Node, Node]:
    """The operation and its backward; tensors are called as the register calls them unless they
    are named, and the gradient of x is dx."""
    inputs, outputs = inputs or row.inputs, outputs or row.outputs
    forward = Node(row.name, tuple(inputs), tuple(outputs), options, layer=1)
    upstream = [f"d{name}" for name in row.continued(outputs)]
    asked = row.asked(row.backward, inputs, outputs, upstream)
    taken = {n: v for n, v in options.items() if n in option_names(row.backward)}
    made = tuple(f"d{name}" for name in row.differentiated(inputs))
    return forward, Node(row.name + BACKWARD, asked, made, taken, layer=1, forward=forward)


def alone(row: Operation, dtype: str = "float64", seed: int = 0) -> Iterator[Both]:
    """The operation with each of its options, on its samples; then on the same in whole numbers,
    many of which are equal, and none 0 that was positive. Each tensor is called as the samples or
    the register call it."""
    for options in row.options:
        rng = np.random.default_rng(seed)
        drawn = row.samples(rng, dtype)
        whole = {name: np.ceil(a).astype(a.dtype) for name, a in drawn.items()}
        for at in (drawn, whole):
            made = row.forward(*at.values(), **options)
            many = made if isinstance(made, tuple) else (made,)
            names = row.outputs
            if row.any_outputs:
                names = tuple(f"{row.outputs[0]}{i}" for i in range(len(many)))
            outputs = dict(zip(names, many, strict=True))
            arriving = {
                f"d{name}": rng.normal(0, 2, outputs[name].shape).astype(dtype)
                for name in row.continued(names)
            }
            nodes, start = nodes_of(row, options, tuple(at), names), {**at, **arriving}
            yield Both(nodes, start, *(execute(nodes, start, side) for side in ("manual", "torch")))
