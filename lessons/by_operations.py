"""A computation written out as operations: its law, its exact derivatives, and both sides of it.

A lesson writes its forward with the hand-written functions, as a model does. The law of its
backward follows from the recorded forward by the chain rule; the lesson's own backward and torch's
autograd are judged against it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from torch_parity.compare.flow.law import differentiated, forward_nodes
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.judge.witness import STEP
from torch_parity.compare.register import OPERATIONS
from torch_parity.compare.sources.one_operation import nodes_of
from torch_parity.manual.models.step import Tensors
from torch_parity.manual.recording import recording

Forward = Callable[[Mapping[str, np.ndarray]], Tensors]
InTorch = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


def law(
    forward: Forward, given: Mapping[str, np.ndarray], constants: Collection[str] = ()
) -> tuple[Node, ...]:
    """The forward's nodes as it calls its operations on what is given, then each turned round.

    The gradient of the last tensor is given, as d and its name. A tensor that several operations
    read gets a share of its gradient from each; constants have no gradient.
    """
    with recording() as tape:
        nodes = forward_nodes(tape, forward(tape.give(given)))
    return *nodes, *_backward(nodes, constants)


def _backward(forward: Sequence[Node], constants: Collection[str]) -> list[Node]:
    reads = Counter(x for node in forward for x in differentiated(node))
    shares: dict[str, list[str]] = defaultdict(list)
    nodes = []
    for node in reversed(forward):
        for x in differentiated(node):
            several = x in constants or reads[x] > 1
            shares[x].append(f"d{x}#{node.outputs[0]}" if several else f"d{x}")
        _, turned = nodes_of(OPERATIONS[node.operation], node.options, node.inputs, node.outputs)
        outputs = tuple(shares[x][-1] for x in differentiated(node))
        nodes.append(replace(turned, outputs=outputs, forward=node))
        for x in differentiated(node):
            if reads[x] == len(shares[x]) > 1 and x not in constants:
                made = next((n for n in forward if x in n.outputs), None)
                nodes.append(Node("accumulate", tuple(shares[x]), (f"d{x}",), forward=made))
    return nodes


def in_torch(
    forward: InTorch,
    given: Mapping[str, np.ndarray],
    upstream: np.ndarray,
    constants: Collection[str],
) -> Tensors:
    """torch's tensors and their gradients, by autograd; upstream is that of the last tensor."""
    at = {n: torch.tensor(a, requires_grad=n not in constants) for n, a in given.items()}
    made = forward(at)
    *_, last = made.values()
    asked = {n: x for n, x in {**at, **made}.items() if x.requires_grad and x is not last}
    for tensor in asked.values():
        tensor.retain_grad()
    last.backward(torch.tensor(upstream))  # type: ignore[no-untyped-call]
    gradients = {f"d{n}": x.grad for n, x in asked.items() if x.grad is not None}
    return {n: x.detach().numpy() for n, x in {**made, **gradients}.items()}


def exact_gradient(
    forward: Forward, given: Mapping[str, np.ndarray], upstream: np.ndarray, name: str
) -> np.ndarray:
    """The derivative of sum(upstream * last) by each entry of an input, by the complex step: from
    the forward alone."""
    x = given[name]
    entries = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        moved = x.astype(complex)
        moved[i] += 1j * STEP
        *_, last = forward({**given, name: moved}).values()
        entries[i] = (last.imag / STEP * upstream).sum()
    return entries
