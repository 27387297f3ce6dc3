"""The law of one training step: its forward as it was recorded, its backward by the chain rule, its
updates from the optimizer.

No model's shape is written here. The backward of any recorded forward is each node turned round; a
tensor that is read several times gets a share of its gradient from each reader, and a node that
adds the shares up. So the law depends neither on the hand-written backward nor on torch's autograd,
and both are judged against it.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any, cast

import numpy as np

from torch_parity import manual
from torch_parity.compare.flow.functions import BACKWARD, PARAMETERS
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register import OPERATIONS, OPTIMIZERS
from torch_parity.manual.models.step import buffers_of
from torch_parity.manual.recording import (
    Tape,
    UnrecordedOperationError,
    option_names,
    recording,
)

SAMPLES = 3  # of the small batch on which a forward is recorded


def flow(
    net: manual.Model, optimizer: manual.Optimizer, masks: Collection[str]
) -> tuple[Node, ...]:
    """The nodes of one training step; masks names the dropout masks that are given."""
    hashable: Any = _flow
    return hashable(net, optimizer, tuple(sorted(masks)))


@lru_cache(maxsize=256)
def _flow(net: Any, optimizer: Any, masks: tuple[str, ...]) -> tuple[Node, ...]:
    """As flow, once for each model: a law does not depend on the numbers."""
    forward = recorded_forward(net, masks)
    params = list(net.shapes())
    backward = tuple(backward_nodes(forward, params, net.names))
    update = update_nodes(optimizer, params, net.names, _layers(forward))
    return (*forward, *backward, *update)


def recorded_forward(net: manual.Model, masks: Collection[str], seed: int = 0) -> tuple[Node, ...]:
    """The forward nodes of a model, as they are called on a small batch of drawn numbers."""
    rng = np.random.default_rng(seed)
    params = {name: rng.normal(size=shape) for name, shape in net.shapes().items()}
    drawn = {n: rng.random(shape) for n, shape in net.shapes_of_masks(SAMPLES).items()}
    x, y = net.example(rng, SAMPLES)
    given = {
        **params,
        **buffers_of(net),
        "x": x,
        "y": y,
        **{n: m for n, m in drawn.items() if n in masks},
    }
    with recording() as tape, np.errstate(all="ignore"):
        at = tape.give(given)
        t = net.forward(at, at["x"], {n: at[n] for n in masks})
        t |= manual.cost(net, at, t[net.result], at["y"])
        return forward_nodes(tape, t)


def forward_nodes(tape: Tape, made: Mapping[str, np.ndarray]) -> tuple[Node, ...]:
    """What the tape recorded, under the names that the model gave to what it made.

    Raises:
        UnrecordedOperationError: a tensor was made by nothing that was recorded, or has two names.
    """
    names = {id(array): name for name, array in tape.given.items()}
    for name, array in made.items():
        if id(array) not in tape.known:
            raise UnrecordedOperationError(f"{name} was made by no recorded operation")
        if names.setdefault(id(array), name) != name:
            raise UnrecordedOperationError(f"{name} and {names[id(array)]} are the same tensor")
    nodes = []
    for k, call in enumerate(tape.calls):
        for i, out in enumerate(call.outputs):
            names.setdefault(id(out), f"{call.operation}#{k}.{i}")
        inputs, outputs = (tuple(names[id(x)] for x in xs) for xs in (call.inputs, call.outputs))
        nodes.append(Node(call.operation, inputs, outputs, call.options, line=call.line))
    return numbered(nodes)


def numbered(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Forward nodes with their layer: how many layers with parameters there are up to them."""
    layer, found = 0, []
    towards_the_cost = _summed(nodes)
    for node in nodes:
        kind = OPERATIONS[node.operation].kind
        layer += kind == "layer"
        whole = kind in ("loss", "penalty") or not towards_the_cost.isdisjoint(node.outputs)
        found.append(replace(node, layer=0 if whole else layer))
    return tuple(found)


def _summed(nodes: Sequence[Node]) -> set[str]:
    """The cost, and what is only added to it: the cost's gradient for each of these is 1."""
    summed = {nodes[-1].outputs[0]} if nodes else set()
    for node in reversed(nodes):
        if node.operation == "add" and node.outputs[0] in summed:
            summed |= {*node.inputs}
    return summed


def backward_nodes(
    forward: Sequence[Node], wanted: Collection[str], names: manual.Names
) -> Iterator[Node]:
    """From the cost (the last node's output) back to the wanted tensors: each node turned round.

    A penalty adds its share last, to what the loss alone gives.

    Raises:
        ValueError: a loss reaches the cost through something else than sums.
    """
    return _Backward(forward, wanted, names).nodes()


class _Backward:
    """needs are the tensors that a gradient is wanted of; reads counts, for each, the places where
    it is read on the way to the cost; shares are the gradients made so far, by reader."""

    def __init__(
        self, forward: Sequence[Node], wanted: Collection[str], names: manual.Names
    ) -> None:
        self.names, self.summed = names, _summed(forward)
        self.live, self.needs = _between(forward, wanted)
        self.layers = _layers(forward)
        self.makers = {name: node for node in forward for name in node.outputs}
        read = [(x, n) for n in self.live for x in differentiated(n) if x in self.needs]
        self.reads = Counter(x for x, n in read if self._carries(n))
        self.penalties = {x: n for x, n in read if OPERATIONS[n.operation].kind == "penalty"}
        self.shares: dict[str, list[str]] = defaultdict(list)

    def nodes(self) -> Iterator[Node]:
        """The backward, from the last node to the first."""
        for node in reversed(self.live):
            if self._carries(node):
                yield from self._unread(node)
                yield self._turned(node)
                yield from self._completed(node)
        for x, penalty in self.penalties.items():
            if not self.reads[x]:  # only the penalty knows of it
                yield Node("zeros", (x,), (self.names.loss_gradient(x),), layer=self.layers[x])
                yield self._penalised(x, penalty)

    def _carries(self, node: Node) -> bool:
        """Whether the node is turned round: not a penalty, nor a sum that ends in the cost."""
        kind = OPERATIONS[node.operation].kind
        return kind != "penalty" and (kind == "loss" or self.summed.isdisjoint(node.outputs))

    def _total(self, x: str) -> str:
        """What the gradient of x is called once all its readers have added their shares."""
        return self.names.loss_gradient(x) if x in self.penalties else self.names.gradient(x)

    def _unread(self, node: Node) -> Iterator[Node]:
        """An output that nothing reads on the way to the cost has a gradient of 0, which neither
        side records."""
        if OPERATIONS[node.operation].kind != "loss":
            for name in _continued(node):
                if not self.reads[name]:
                    yield Node("zeros", (name,), (self._arriving(name),), layer=node.layer)

    def _arriving(self, x: str) -> str:
        """What the gradient of an output is called."""
        return self.names.gradient(x) + ("" if self.reads[x] else "#unread")

    def _turned(self, node: Node) -> Node:
        row = OPERATIONS[node.operation]
        if row.is_loss and node.outputs[0] not in self.summed:
            raise ValueError(
                f"{node.outputs[0]} does not reach the cost by sums alone: the backward of "
                f"{row.name} takes no upstream gradient"
            )
        tensors = differentiated(node)
        operation, backward = node.operation + BACKWARD, row.backward
        if row.backward_parameters and tensors[0] not in self.needs:
            operation, backward = node.operation + PARAMETERS, row.backward_parameters
            tensors = tensors[1:]
        upstream = [self._arriving(name) for name in _continued(node)]
        asked = row.asked(backward, node.inputs, node.outputs, upstream)
        options = {k: v for k, v in node.options.items() if k in option_names(backward)}
        outputs = tuple(self._share(x, node, i) for i, x in enumerate(tensors))
        return Node(operation, asked, outputs, options, node.layer, None, node, node.line)

    def _share(self, x: str, reader: Node, i: int) -> str:
        """Where x is read once, its gradient; else the share that this reader has in it."""
        total = self._total(x)
        if self.reads[x] == 1:
            self.shares[x].append(total)
            return total
        private = f"{total}#{reader.outputs[0]}"
        if private in self.shares[x]:  # the same reader reads it twice, as in add(h, h)
            private += f".{i}"
        self.shares[x].append(private)
        return private

    def _completed(self, node: Node) -> Iterator[Node]:
        """The sums of all shares of what this node was the first to read, and the penalties."""
        for x in dict.fromkeys(differentiated(node)):
            if not self.reads[x] or len(self.shares[x]) < self.reads[x]:
                continue
            if self.reads[x] > 1:
                made = self.makers.get(x)
                shares, total = tuple(self.shares[x]), (self._total(x),)
                layer = made.layer if made else self.layers[x]
                yield Node("accumulate", shares, total, layer=layer, forward=made)
            if x in self.penalties:
                yield self._penalised(x, self.penalties[x])

    def _penalised(self, x: str, penalty: Node) -> Node:
        inputs = (self.names.loss_gradient(x), x)
        outputs = (self.names.gradient(x),)
        operation = penalty.operation + BACKWARD
        return Node(
            operation, inputs, outputs, penalty.options, self.layers[x], None, penalty, penalty.line
        )


def differentiated(node: Node) -> tuple[str, ...]:
    """The tensors that a forward node has a gradient for, as often as it reads them."""
    return OPERATIONS[node.operation].differentiated(node.inputs)


def _continued(node: Node) -> list[str]:
    """The tensors that a forward node makes for other nodes: all but the new state."""
    return OPERATIONS[node.operation].continued(node.outputs)


def _between(forward: Sequence[Node], wanted: Collection[str]) -> tuple[list[Node], set[str]]:
    """The nodes on a way from something wanted to the cost, and all that needs a gradient."""
    needs, reaches = {*wanted}, {forward[-1].outputs[0]}
    for node in forward:
        if needs.intersection(differentiated(node)):
            needs |= {*_continued(node)}
    for node in reversed(forward):
        if reaches.intersection(node.outputs):
            reaches |= {*differentiated(node)}
    live = needs & reaches
    return [n for n in forward if live.intersection(n.outputs)], needs


def _layers(forward: Sequence[Node]) -> dict[str, int]:
    """The layer of each tensor: the one that reads it first."""
    layers: dict[str, int] = {}
    for node in forward:
        for name in node.inputs:
            layers.setdefault(name, node.layer)
    return layers


def update_nodes(
    optimizer: manual.Optimizer,
    params: Collection[str],
    names: manual.Names,
    layers: Mapping[str, int],
) -> Iterator[Node]:
    """Per parameter: the step counter, if there is one, then the update, which reads it."""
    row = next(row for row in OPTIMIZERS.values() if row.by_hand is type(optimizer))
    constants = asdict(cast(Any, optimizer))
    for p in params:
        layer = layers.get(p, 0)
        slots = tuple(names.slot(slot, p) for slot in row.slots)
        inputs = (p, names.gradient(p), *slots)
        if row.counts:
            t = names.slot("t", p)
            yield Node("count", (t,), (t,), layer=layer)
            inputs = (*inputs, f"new_{t}")
        yield Node(row.name, inputs, (*slots, p), constants, layer)
