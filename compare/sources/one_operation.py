"""One operation of the register by itself, forward and backward on both sides: what a model's step
is to the model. No model has to contain the operation."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from torch_parity.compare.causes.plant import execute
from torch_parity.compare.flow.functions import BACKWARD
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register import Operation
from torch_parity.compare.sources.recorded import Both
from torch_parity.manual.recording import input_names, option_names

Arrays = dict[str, np.ndarray]


def nodes_of(row: Operation, options: Mapping[str, Any]) -> tuple[Node, Node]:
    """The operation and its backward; each tensor is called as the register calls it."""
    forward = Node(row.name, row.inputs, row.outputs, options, layer=1)
    asked = input_names(row.backward)
    taken = {n: v for n, v in options.items() if n in option_names(row.backward)}
    made = tuple(f"d{name}" for name in row.differentiable)
    return forward, Node(row.name + BACKWARD, asked, made, taken, layer=1, forward=forward)


def alone(row: Operation, dtype: str = "float64", seed: int = 0) -> Iterator[Both]:
    """The operation with each of its options, on its samples; then on the same in whole numbers,
    many of which are equal."""
    for options in row.options:
        rng = np.random.default_rng(seed)
        drawn = row.samples(rng, dtype)
        whole = {name: np.rint(a).astype(a.dtype) for name, a in drawn.items()}
        for at in (drawn, whole):
            nodes = nodes_of(row, options)
            made = row.forward(*at.values(), **options)
            many = made if isinstance(made, tuple) else (made,)
            outputs = dict(zip(row.outputs, many, strict=True))
            arriving: Arrays = {
                name: rng.normal(0, 2, outputs[name[1:]].shape).astype(dtype)
                for name in row.arriving
            }
            start = {**at, **arriving}
            yield Both(nodes, start, *(execute(nodes, start, side) for side in ("manual", "torch")))
