"""The law of one step on micro-batches: each one's forward and backward, joined by sums.

It is the law of one step, whatever the model. Every tensor of every micro-batch is a tensor of the
step: the first one's z1 is z1_m0, and its parameters are the step's. Its batch is given, as x_m0.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from torch_parity import manual
from torch_parity.compare.flow.law import flow
from torch_parity.compare.flow.nodes import Node, renamed
from torch_parity.compare.flow.sharded import after_all_gradients
from torch_parity.compare.register import OPERATIONS
from torch_parity.manual.models.step import without_penalty
from torch_parity.manual.names import of_micro_batch

WHOLE = "#whole"  # the gradient of a loss before its share is taken, which neither side records


def accumulated_flow(
    net: manual.Model, optimizer: manual.Optimizer, masks: Collection[str], rows: Sequence[int]
) -> tuple[Node, ...]:
    """The nodes of one training step on micro-batches of so many rows; masks names the dropout
    masks that are given for each."""
    hashable: Any = _accumulated_flow
    return hashable(net, optimizer, tuple(sorted(masks)), tuple(rows))


@lru_cache(maxsize=256)
def _accumulated_flow(
    net: Any, optimizer: Any, masks: tuple[str, ...], rows: tuple[int, ...]
) -> tuple[Node, ...]:
    shares = manual.shares(rows, net.reduction)
    own = [node for k, share in enumerate(shares) for node in _own(net, optimizer, masks, k, share)]
    whole = flow(net, optimizer, ())
    return (*own, *_sums(net, whole, shares), *(n for n in whole if after_all_gradients(n)))


def _own(
    net: manual.Model, optimizer: manual.Optimizer, masks: Collection[str], k: int, share: float
) -> list[Node]:
    """Forward and backward of micro-batch k, without the penalty."""
    nodes = [n for n in flow(without_penalty(net), optimizer, masks) if not after_all_gradients(n)]
    if share != 1:
        nodes = list(_weighed(nodes, share))
    return renamed(nodes, _named(nodes, masks, k))


def _named(nodes: Sequence[Node], masks: Collection[str], k: int) -> Callable[[str], str]:
    own = {"x", "y", *masks, *(name for node in nodes for name in node.outputs)}
    return lambda name: of_micro_batch(name, k) if name in own else name


def _weighed(nodes: Sequence[Node], share: float) -> Iterator[Node]:
    """The nodes with the loss, and the gradient that begins at it, times the share."""
    options = {"factor": share}
    weighed: Node | None = None
    for node in nodes:
        begins = node.forward is not None and OPERATIONS[node.forward.operation].is_loss
        if begins:
            name = node.outputs[0]
            made = name + WHOLE
            yield replace(node, outputs=(made,))
            yield Node("scale", (made,), (name,), options, node.layer, None, weighed)
            continue
        yield node
        if node.outputs == ("loss",):
            weighed = Node("scale", ("loss",), ("loss_share",), options)
            yield weighed


def _sums(net: manual.Model, whole: Sequence[Node], shares: Sequence[float]) -> Iterator[Node]:
    """The loss, and each parameter's gradient from the loss, as the sums over the micro-batches."""
    names, many = net.names, range(len(shares))
    penalised = set(manual.weights_of(net)) if net.l1 or net.l2 else set()
    layers = {name: node.layer for node in whole for name in node.outputs}
    losses = ["loss" if share == 1 else "loss_share" for share in shares]
    parts = tuple(of_micro_batch(name, k) for k, name in enumerate(losses))
    yield Node("accumulate_batches", parts, ("loss",))
    for p in net.shapes():
        d = names.gradient(p)
        total = names.loss_gradient(p) if p in penalised else d
        parts = tuple(of_micro_batch(d, k) for k in many)
        yield Node("accumulate_batches", parts, (total,), layer=layers[total])
