"""Questions to ask of a step's nodes: who makes a tensor, who reads it, what part it plays.

Nodes may come from a model's law, from hooks on a torch module or from somebody's file; `linked`
gives those of the latter two the same links that the law has.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from torch_parity.compare.flow.functions import BACKWARD, PARAMETERS, split
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register import OPERATIONS, OPTIMIZERS
from torch_parity.compare.register.row import Kind
from torch_parity.manual.recording import by_name


class Graph:
    """The nodes of one step, looked at as a graph."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = tuple(nodes)

    @cached_property
    def _makers(self) -> dict[str, Node]:
        return {name: node for node in reversed(self.nodes) for name in node.outputs}

    @cached_property
    def parameters(self) -> frozenset[str]:
        """What the step updates."""
        return frozenset(n.inputs[0] for n in self.nodes if n.operation in OPTIMIZERS)

    @cached_property
    def penalised(self) -> frozenset[str]:
        """The parameters that a penalty is taken of."""
        backward = (n for n in self.nodes if n.operation == "penalty_backward")
        forward = (n for n in self.nodes if n.operation == "penalty")
        names = {n.inputs[1] for n in backward} | {name for n in forward for name in n.inputs}
        return frozenset(names)

    def maker(self, name: str) -> Node | None:
        """The node that computes a tensor; None for what was given (and updated later)."""
        node = self._makers.get(name)
        return None if node is not None and name in node.inputs else node

    def readers(self, name: str) -> Iterator[Node]:
        """The nodes that read a tensor, in order."""
        return (node for node in self.nodes if name in node.inputs)

    def is_copy(self, node: Node) -> bool:
        """Whether an identity only hands a tensor on (x to h0, a to h), and is no activation."""
        if node.operation != "identity":
            return False
        made = self.maker(node.inputs[0])
        return made is None or kind_of(made) in ("activation", "dropout")

    def activates(self, node: Node) -> bool:
        """Whether a forward node is an activation."""
        return kind_of(node) == "activation" and not self.is_copy(node)

    def slopes(self, node: Node) -> bool:
        """Whether a node takes the gradient back through an activation."""
        return node.forward is not None and self.activates(node.forward)

    @property
    def losses(self) -> list[Node]:
        """The forward nodes that compute a loss."""
        return [node for node in self.nodes if kind_of(node) == "loss"]

    def feeds_the_loss(self, node: Node) -> bool:
        """Whether a loss reads what this forward node (or that of this backward node) makes."""
        of = node.forward or node
        return any(loss.inputs[0] in of.outputs for loss in self.losses)


def kind_of(node: Node) -> Kind | None:
    """The kind of a forward node's operation; None for any other node."""
    row = OPERATIONS.get(node.operation)
    return row.kind if row else None


def linked(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes with their layers, those of the backward with the forward node that they belong to.

    A backward belongs to the forward of the same operation that has the tensors which it reads; of
    several, to the last that no other has taken, as gradients are computed from the end.
    """
    layer = 0
    layers: dict[str, int] = {}  # of each tensor, that of the node which reads it first
    forwards: list[Node] = []
    taken: set[Node] = set()
    found = []
    for node in nodes:
        name, suffix = split(node.operation)
        if kind_of(node) is not None:
            kind = kind_of(node)
            layer += kind == "layer"
            whole = kind in ("loss", "penalty") or node.outputs == ("cost",)
            new = replace(node, layer=0 if whole else layer)
            forwards.append(new)
        elif suffix and name in OPERATIONS:
            fits = (f for f in reversed(forwards) if f not in taken and _belongs(node, f))
            forward = next(fits, None)
            if forward is not None and name != "penalty":
                taken.add(forward)
            of = layers.get(node.inputs[1], 0) if name == "penalty" else 0
            new = replace(node, forward=forward, layer=forward.layer if forward else of)
            new = replace(new, layer=of) if name == "penalty" else new
        else:
            of_read = (layers[n] for n in node.inputs if n in layers)
            new = replace(node, layer=next(of_read, 0))
        for read in new.inputs:
            layers.setdefault(read, new.layer)
        found.append(new)
    return tuple(_counted(found))


def _counted(nodes: Sequence[Node]) -> Iterator[Node]:
    """Each step counter in the layer of the parameter whose update reads it."""
    updates = {n.inputs[-1]: n.layer for n in nodes if n.operation in OPTIMIZERS}
    for node in nodes:
        counts = node.operation == "count"
        layer = updates.get(f"new_{node.outputs[0]}", 0) if counts else node.layer
        yield replace(node, layer=layer)


def _belongs(backward: Node, forward: Node) -> bool:
    """Whether a node takes the gradient back through this forward node."""
    name, suffix = split(backward.operation)
    if forward.operation != name:
        return False
    row = OPERATIONS[name]
    if row.kind == "penalty":
        return backward.inputs[1] in forward.inputs
    asks = {BACKWARD: row.backward, PARAMETERS: row.backward_parameters}[suffix]
    if asks is None:
        return False
    known = by_name(row.forward, forward.inputs) | row.made(forward.outputs)
    asked = by_name(asks, backward.inputs)
    return all(known.get(parameter, names) == names for parameter, names in asked.items())
