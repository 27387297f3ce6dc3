"""Layers with weights, with and without a bias: which nodes they are, and how a mistake changes the
gradients of their parameters."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from torch_parity.compare.causes.cause import Change, Evidence, on
from torch_parity.compare.flow.functions import PARAMETERS as ALONE
from torch_parity.compare.flow.nodes import Node

BIASED, LINEAR = on("linear"), on("linear", "linear_no_bias")
BACKWARD = on("linear_backward", "linear_no_bias_backward")
BIAS_GRADIENT = on("linear_backward", "linear_backward_parameters")
PARAMETERS = on(
    "linear_backward",
    "linear_backward_parameters",
    "linear_no_bias_backward",
    "linear_no_bias_backward_parameters",
)


def of_parameters(node: Node) -> tuple[str, ...]:
    """The gradients of its parameters that a backward makes; dx, which the first layer lacks, is
    none."""
    return node.outputs if node.operation.endswith(ALONE) else node.outputs[1:]


def on_parameters(change: Callable[..., tuple[Any, ...]]) -> Change:
    """dx as it is; the others are change(dz, x, dW, db), without db where the layer has no bias."""

    def changed(node: Node, e: Evidence) -> Iterable[Node]:
        at = len(node.outputs) - len(of_parameters(node))

        def formula(f: Any, dz: Any, x: Any, *W: Any, **options: Any) -> Any:
            made = f[node.operation](dz, x, *W, **options)
            many = made if isinstance(made, tuple) else (made,)
            return (*many[:at], *change(dz, x, *many[at:]))

        return [replace(node, formula=formula)]

    return changed
