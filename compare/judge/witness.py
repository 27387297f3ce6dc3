"""The third witness: the exact derivative of the forward pass, which shares no code with either
side's backward.

Complex step: f(x + i h e) differs from f(x) by i h times the derivative, with nothing subtracted,
so h may be 1e-200 and the derivative is right to the last digits (Squire and Trapp 1998). Every
hand-written forward takes complex numbers.
"""

from collections.abc import Callable, Mapping

import numpy as np

from torch_parity.compare.flow.functions import BACKWARD, PARAMETERS, split
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register import OPERATIONS
from torch_parity.compare.register.row import Operation
from torch_parity.manual.recording import by_name

STEP = 1e-200


def exact_derivative(
    node: Node, output: str, index: tuple[int, ...], known: Mapping[str, np.ndarray]
) -> float | None:
    """The entry of a gradient that the node should have made, from its forward alone.

    None where the node makes no gradient: a forward or an update is judged by its replay alone.
    """
    forward, (_, suffix) = node.forward, split(node.operation)
    if forward is None or not suffix:
        return None
    needed = {*forward.inputs, *node.inputs}
    if not all(name in known for name in needed):
        return None
    row = OPERATIONS[forward.operation]
    if row.kind == "penalty":
        so_far, W = (known[name] for name in node.inputs)
        moved = _derivative(lambda W: row.forward(W, **forward.options), W, index)
        return float(so_far[index]) + moved
    inputs = [known[name] for name in forward.inputs]
    upstream = _upstream(row, node, suffix, known)
    k = node.outputs.index(output)
    places = row.differentiated(range(len(inputs)))
    at = places[1:][k] if suffix == PARAMETERS else places[k]

    def outgoing(x: np.ndarray) -> np.ndarray:
        made = row.forward(*inputs[:at], x, *inputs[at + 1 :], **forward.options)
        many = made if isinstance(made, tuple) else (made,)
        if row.is_loss:
            return np.asarray(many[0])
        parts = (part for name, made in row.made(many).items() if name in upstream for part in made)
        arriving = (d for name in row.outputs for d in upstream.get(name, ()))
        return np.asarray(sum((x * d).sum() for x, d in zip(parts, arriving, strict=True)))

    return _derivative(outgoing, inputs[at], index)


def _upstream(
    row: Operation, node: Node, suffix: str, known: Mapping[str, np.ndarray]
) -> dict[str, tuple[np.ndarray, ...]]:
    """The gradients that arrive at the forward's outputs, by the outputs' names."""
    backward = row.backward if suffix == BACKWARD else row.backward_parameters
    assert backward is not None
    asked = by_name(backward, [known[name] for name in node.inputs])
    return {name: asked[f"d{name}"] for name in row.outputs if f"d{name}" in asked}


def _derivative(
    of: Callable[[np.ndarray], np.ndarray], at: np.ndarray, index: tuple[int, ...]
) -> float:
    moved = np.array(at, np.complex128)  # of a scalar as well
    moved[index] += 1j * STEP
    return float(np.imag(of(moved)) / STEP)
