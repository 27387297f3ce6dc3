"""The third witness: the exact derivative of the forward pass, which shares no code with either
backward.

Complex step: f(x + i h e) differs from f(x) by i h times the derivative, with nothing subtracted,
so h may be 1e-200 and the derivative is right to the last digits (Squire and Trapp 1998). Every
hand-written forward takes complex numbers.
"""

from collections.abc import Callable, Mapping

import numpy as np

from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register import FUNCTIONS, OPERATIONS

STEP = 1e-200


def testify(
    node: Node, output: str, index: tuple[int, ...], known: Mapping[str, np.ndarray]
) -> float | None:
    """The entry of a gradient that the node should have made, from its forward alone.

    None where the node makes no gradient: a forward or an update has its replay for a witness.
    """
    inputs = [known[name] for name in node.inputs if name in known]
    name = node.operation.removesuffix("_parameters").removesuffix("_backward")
    if len(inputs) < len(node.inputs) or node.operation == name:
        return None
    if name == "linear":
        return _linear(node.outputs.index(output) - len(node.outputs), index, *inputs)
    if name == "penalty":
        dW, W = inputs
        moved = _derivative(lambda W: FUNCTIONS["penalty"](W, **node.options), W, index)
        return float(dW[index]) + moved
    if name == "dropout":
        dh, mask = inputs
        ones = np.ones(mask.shape)
        return _derivative(lambda a: (FUNCTIONS["dropout"](a, mask) * dh).sum(), ones, index)
    forward = FUNCTIONS[name]
    if OPERATIONS[name].is_loss:
        a, y = inputs
        return _derivative(lambda a: forward(a, y, **node.options), a, index)
    da, z = inputs
    return _derivative(lambda z: (forward(z, **node.options) * da).sum(), z, index)


def _linear(
    of: int,
    index: tuple[int, ...],
    dz: np.ndarray,
    x: np.ndarray,
    W: np.ndarray | None = None,
) -> float:
    """of is the place among dx, dW, db, counted from the end: the first layer has no dx."""
    W = np.zeros((dz.shape[1], x.shape[1])) if W is None else W
    b = np.zeros(W.shape[0])
    forward = FUNCTIONS["linear"]
    if of == -1:
        return _derivative(lambda b: (forward(x, W, b) * dz).sum(), b, index)
    if of == -2:
        return _derivative(lambda W: (forward(x, W, b) * dz).sum(), W, index)
    return _derivative(lambda x: (forward(x, W, b) * dz).sum(), x, index)


def _derivative(
    of: Callable[[np.ndarray], np.ndarray], at: np.ndarray, index: tuple[int, ...]
) -> float:
    moved = at.astype(np.complex128)
    moved[index] += 1j * STEP
    return float(np.imag(of(moved)) / STEP)
