"""The law of one step on many ranks: each rank's own, joined by the all-reduce.

It is the law of one step, whatever the model: forward and backward on each rank's rows, then the
all-reduce, then the penalty and the update. Every tensor of every rank is a tensor of the step:
rank 0's z1 is z1_r0. What the ranks should have alike (dW1_r0, dW1_r1) is judged on each, so that
no rank's copy is trusted for another's.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate, pairwise

import numpy as np

from torch_parity import manual
from torch_parity.compare.flow.functions import split
from torch_parity.compare.flow.law import flow
from torch_parity.compare.flow.nodes import Node, renamed
from torch_parity.compare.flow.trace import Tensors
from torch_parity.compare.register import OPERATIONS, OPTIMIZERS
from torch_parity.manual.models.step import without_penalty


def on_rank(name: str, rank: int) -> str:
    """What a rank's tensor is called among all ranks'."""
    return f"{name}_r{rank}"


def of_all_ranks(ranks: Sequence[Tensors]) -> dict[str, np.ndarray]:
    """Every rank's tensors as those of one step."""
    return {on_rank(name, r): a for r, rank in enumerate(ranks) for name, a in rank.items()}


def rank_of(node: Node) -> int:
    """The rank that works at this node."""
    return int(node.outputs[0].rpartition("_r")[2])


def sharded_flow(
    net: manual.Model, optimizer: manual.Optimizer, masks: Collection[str], rows: Sequence[int]
) -> tuple[Node, ...]:
    """The nodes of one training step; rank r has the next rows[r] of the batch x, y and masks.

    Each rank's parameters and optimizer state are given as its own: W1_r0, W1_r1... .
    """
    ranks = range(len(rows))
    own = [node for rank in ranks for node in _own(net, optimizer, masks, rank)]
    together = [node for rank in ranks for node in _together(net, optimizer, rows, rank)]
    return (*_shards(masks, rows), *own, *together)


def _shards(masks: Collection[str], rows: Sequence[int]) -> Iterator[Node]:
    for rank, (begin, end) in enumerate(pairwise(accumulate(rows, initial=0))):
        for name in ("x", "y", *sorted(masks)):
            yield Node("shard", (name,), (on_rank(name, rank),), {"begin": begin, "end": end})


def _reduced(net: manual.Model) -> dict[str, str]:
    """The loss and the parameters' gradients, and what they are called before the all-reduce."""
    return {
        name: f"{name}_own" for name in ("loss", *(net.names.gradient(p) for p in net.shapes()))
    }


def _own(
    net: manual.Model, optimizer: manual.Optimizer, masks: Collection[str], rank: int
) -> list[Node]:
    """Forward and backward on the rank's own rows, without the penalty."""
    nodes = [n for n in flow(without_penalty(net), optimizer, masks) if not after_all_gradients(n)]
    names = _reduced(net)
    return renamed(nodes, lambda name: on_rank(names.get(name, name), rank))


def after_all_gradients(node: Node) -> bool:
    """Whether a node belongs to the step as a whole: the penalty, the cost, an update."""
    operation, _ = split(node.operation)
    row = OPERATIONS.get(operation)
    of_cost = row is not None and (
        row.kind == "penalty" or (node.operation == "add" and node.outputs == ("cost",))
    )
    return of_cost or node.operation in OPTIMIZERS or node.operation == "count"


def _together(
    net: manual.Model, optimizer: manual.Optimizer, rows: Sequence[int], rank: int
) -> Iterator[Node]:
    """The all-reduce, and what the rank does with it."""
    options = {"rows": tuple(rows), "reduction": net.reduction}
    penalised = set(manual.weights_of(net)) if net.l1 or net.l2 else set()
    whole = {net.names.gradient(p): net.names.loss_gradient(p) for p in penalised}
    nodes = flow(net, optimizer, ())
    order = {name: node.layer for node in nodes for name in node.outputs}
    own = _reduced(net)
    for name in (n for n in order if n in own or n in whole.values()):
        gradient = next((g for g, loss in whole.items() if loss == name), name)
        if name in whole:
            continue  # the penalty makes it of what the all-reduce makes
        parts = tuple(on_rank(own[gradient], r) for r in range(len(rows)))
        yield Node("all_reduce", parts, (on_rank(name, rank),), options, order[name])
    together = [n for n in nodes if after_all_gradients(n)]
    yield from renamed(together, lambda name: on_rank(name, rank))
