"""The flow of one step: which operation makes which tensor from which others, in order.

It says in data what manual/models/mlp.py says in code, so that a recorded step, from whichever
side, can be taken apart and each operation judged on its own inputs.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import numpy as np

from torch_parity.manual import SGD, Adam, Momentum, MomentumCourse, Network
from torch_parity.manual.models.mlp import Optimizer

UPDATES: dict[type, str] = {
    SGD: "sgd",
    Momentum: "momentum",
    MomentumCourse: "momentum_course",
    Adam: "adam",
}


@dataclass(frozen=True, eq=False)
class Node:
    """outputs = operation(*inputs, **options), all by name; layer is 0 for the whole network.

    W1 as an input is the parameter that the step was given, new_W1 the one that it makes; as an
    output W1 is always the new one. formula, where there is one, stands in for the operation: a
    known mistake, called with the table of functions before the inputs. parts, where there are any,
    are run one after another in its place (segments.py).
    """

    operation: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    layer: int = 0
    formula: Callable[..., Any] | None = None
    parts: tuple["Node", ...] = ()


def result(node: Node, output: str) -> str:
    """The name by which later nodes ask for it: W1 is what was given, new_W1 what was made."""
    return f"new_{output}" if output in node.inputs else output


def flow(net: Network, optimizer: Optimizer, masks: Collection[str]) -> tuple[Node, ...]:
    """The nodes of one training step; masks names the dropout masks that are given."""
    return (*_forward(net, masks), *_backward(net, masks), *_update(net, optimizer))


def dropping(masks: Mapping[str, np.ndarray]) -> list[str]:
    """The masks that change anything: with p = 0 they are all ones, and there is no dropout."""
    return [name for name, mask in masks.items() if not (mask == 1).all()]


def _activation(net: Network, layer: int) -> tuple[str, dict[str, Any]]:
    name = net.activation if layer < net.depth else net.output
    return name, {"negative_slope": net.negative_slope} if name == "leaky_relu" else {}


def _penalty(net: Network) -> dict[str, Any]:
    return {"l1": net.l1, "l2": net.l2, "m": net.m}


def _forward(net: Network, masks: Collection[str]) -> Iterator[Node]:
    yield Node("identity", ("x",), ("h0",))
    for k in range(1, net.depth + 1):
        name, options = _activation(net, k)
        yield Node("linear", (f"h{k - 1}", f"W{k}", f"b{k}"), (f"z{k}",), layer=k)
        yield Node(name, (f"z{k}",), (f"a{k}",), options, layer=k)
        if k < net.depth and f"mask{k}" in masks:
            yield Node("dropout", (f"a{k}", f"mask{k}"), (f"h{k}",), layer=k)
        elif k < net.depth:
            yield Node("identity", (f"a{k}",), (f"h{k}",), layer=k)
    yield Node(net.loss, (f"a{net.depth}", "y"), ("loss",), {"reduction": net.reduction})
    if net.l1 or net.l2:
        weights = tuple(f"W{k}" for k in range(1, net.depth + 1))
        yield Node("penalty", weights, ("penalty",), _penalty(net))
        yield Node("cost", ("loss", "penalty"), ("cost",))


def _backward(net: Network, masks: Collection[str]) -> Iterator[Node]:
    last = net.depth
    reduction = {"reduction": net.reduction}
    yield Node(f"{net.loss}_backward", (f"a{last}", "y"), (f"da{last}",), reduction)
    for k in range(last, 0, -1):
        if k < last and f"mask{k}" in masks:
            yield Node("dropout_backward", (f"dh{k}", f"mask{k}"), (f"da{k}",), layer=k)
        elif k < last:
            yield Node("identity", (f"dh{k}",), (f"da{k}",), layer=k)
        name, options = _activation(net, k)
        yield Node(f"{name}_backward", (f"da{k}", f"z{k}"), (f"dz{k}",), options, layer=k)
        penalised = bool(net.l1 or net.l2)
        dW = f"dW{k}_loss" if penalised else f"dW{k}"
        inputs = (f"dz{k}", f"h{k - 1}", f"W{k}")
        if k > 1:
            yield Node("linear_backward", inputs, (f"dh{k - 1}", dW, f"db{k}"), layer=k)
        else:
            yield Node("linear_backward_parameters", inputs[:2], (dW, f"db{k}"), layer=k)
        if penalised:
            yield Node("penalty_backward", (dW, f"W{k}"), (f"dW{k}",), _penalty(net), layer=k)


def _update(net: Network, optimizer: Optimizer) -> Iterator[Node]:
    """Per parameter: the step counter, if there is one, then the update, which reads it."""
    name = UPDATES[type(optimizer)]
    constants = asdict(cast(Any, optimizer))
    moments = tuple(slot for slot in optimizer.slots if slot != "t")
    for k in range(1, net.depth + 1):
        for p in (f"W{k}", f"b{k}"):
            inputs = (p, f"d{p}", *(slot + p for slot in moments))
            if "t" in optimizer.slots:
                yield Node("count", (f"t{p}",), (f"t{p}",), layer=k)
                inputs = (*inputs, f"new_t{p}")
            yield Node(name, inputs, (*(slot + p for slot in moments), p), constants, layer=k)
