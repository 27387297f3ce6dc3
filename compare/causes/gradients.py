"""Mistakes in the gradients of weights and biases: their shape, their sums, their sign."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from torch_parity.compare.causes.cause import (
    Cause,
    Change,
    Evidence,
    is_loss,
    one,
    read_also,
)
from torch_parity.compare.causes.factor import Factor, common_factor
from torch_parity.compare.causes.layers import BIAS_GRADIENT, PARAMETERS, on_parameters
from torch_parity.compare.flow.nodes import Node


def _turned(dz: Any, x: Any, dW: Any, *db: Any) -> tuple[Any, ...]:
    """x.T @ dz, brought into the shape of W: of a square W that is the transpose."""
    return ((x.T @ dz).reshape(dW.shape), *db)


def _mean_for_sum(dz: Any, x: Any, dW: Any, db: Any) -> tuple[Any, Any]:
    return dW, db * (1 / dz.shape[0])


def _before_the_slope(node: Node, e: Evidence) -> Iterable[Node]:
    """db summed over da instead of dz = da g'(z)."""
    slope = e.graph.maker(node.inputs[0])
    if slope is None or not e.graph.slopes(slope) or slope.operation == "identity_backward":
        return []
    n = len(node.inputs)

    def formula(f: Any, *inputs: Any) -> Any:
        *rest, _ = f[node.operation](*inputs[:n])
        return (*rest, inputs[n].sum(axis=0))

    return [read_also(node, formula, slope.inputs[0])]


def _offset(node: Node, e: Evidence) -> Iterable[Node]:
    """db + c: the same constant in every entry of every layer."""
    name = node.outputs[-1]

    def estimate() -> Factor | None:
        dz, made = e.known.get(node.inputs[0]), e.trace.get(name)
        if dz is None or made is None or made.shape != dz.shape[1:]:
            return None
        right, size = dz.sum(axis=0, dtype=np.float64), np.abs(dz).sum(axis=0)
        return common_factor(made, right, np.ones(made.shape), e.eps * (np.abs(made) + size))

    def formula(f: Any, *inputs: Any, constant: float) -> Any:
        *rest, db = f[node.operation](*inputs)
        return (*rest, db + constant)

    found = e.number("offset", estimate, lambda rng: float(rng.uniform(0.01, 1)))
    return [
        replace(node, formula=formula, options={**node.options, "constant": c})
        for c in found
        if abs(c) > 1e-9
    ]


def _negative(which: int | None = None) -> Change:
    """The operation's result, or one of its results, with the other sign."""

    def change(node: Node, e: Evidence) -> Iterable[Node]:
        if which is not None and which >= len(node.outputs):
            return []

        def formula(f: Any, *inputs: Any, **options: Any) -> Any:
            result = f[node.operation](*inputs, **options)
            if not isinstance(result, tuple):
                return -result
            chosen = (len(result) - 1 - which) if which is not None else None
            return tuple(-r if chosen in (None, i) else r for i, r in enumerate(result))

        return [replace(node, formula=formula)]

    return change


def _has_a_sign(node: Node, e: Evidence) -> bool:
    """A loss, or a step back through an activation or a layer; the loss's own gradient has a cause
    of its own."""
    return is_loss(node, e) or e.graph.slopes(node)


CAUSES = (
    Cause(
        "weight_gradient_transposed",
        "The weights' gradient is transposed, or reshaped into the shape of W, which is no "
        "transpose.",
        "dW = dz.T @ h  # (out, in), as W",
        "W.grad  # has the shape of W",
        (one(on_parameters(_turned), PARAMETERS),),
    ),
    Cause(
        "bias_gradient_averaged",
        "The bias gradient is the mean over the samples, where dz carries the 1/m already.",
        "db = dz.sum(axis=0)  # not dz.mean(axis=0)",
        "b.grad  # autograd sums over the batch",
        (one(on_parameters(_mean_for_sum), BIAS_GRADIENT),),
    ),
    Cause(
        "bias_gradient_before_the_slope",
        "The bias gradient is summed over the gradient of the activation, not over that of z.",
        "db = dz.sum(axis=0)  # not da.sum(axis=0)",
        "b.grad  # autograd takes the slope into account",
        (one(_before_the_slope, BIAS_GRADIENT),),
    ),
    Cause(
        "bias_gradient_offset",
        "A constant is added to every entry of the bias gradient.",
        "db = dz.sum(axis=0)",
        "b.grad  # nothing is added to it",
        (one(_offset, BIAS_GRADIENT),),
        tuned=True,
    ),
    Cause(
        "sign",
        "The result has the wrong sign.",
        "the same line without its minus (for the logistic and softmax losses, with it)",
        "loss.backward()  # not (-loss).backward()",
        (
            one(_negative(), _has_a_sign),
            one(_negative(), PARAMETERS),
            one(_negative(0), PARAMETERS),
            one(_negative(1), PARAMETERS),
            one(_negative(2), PARAMETERS),
        ),
        yields_to="gradient_sign",
    ),
)
