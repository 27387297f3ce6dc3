"""The flow of one step on many ranks: each rank's own, joined by the all-reduce.

Every tensor of every rank is a tensor of the step: rank 0's z1 is z1_r0. What the ranks should have
alike (dW1_r0, dW1_r1) is judged on each, so no rank is taken at its word for another.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

import numpy as np

from torch_parity.compare.flow.nodes import UPDATES, Node, flow
from torch_parity.compare.flow.trace import Tensors
from torch_parity.manual import Network
from torch_parity.manual.models.mlp import Optimizer

AFTER = (*UPDATES.values(), "count", "penalty", "cost", "penalty_backward")


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
    net: Network, optimizer: Optimizer, masks: Collection[str], rows: Sequence[int]
) -> tuple[Node, ...]:
    """The nodes of one training step; rank r has the next rows[r] of the batch x, y and masks.

    Each rank's parameters and optimizer state are given as its own: W1_r0, W1_r1... .
    """
    ranks = range(len(rows))
    own = [
        *_shards(masks, rows),
        *(node for rank in ranks for node in _own(net, optimizer, masks, rank)),
    ]
    return (*own, *(node for rank in ranks for node in _together(net, optimizer, rows, rank)))


def _shards(masks: Collection[str], rows: Sequence[int]) -> Iterator[Node]:
    for rank, (begin, end) in enumerate(pairwise(accumulate(rows, initial=0))):
        for name in ("x", "y", *sorted(masks)):
            yield Node("shard", (name,), (on_rank(name, rank),), {"begin": begin, "end": end})


def _own(net: Network, optimizer: Optimizer, masks: Collection[str], rank: int) -> Iterator[Node]:
    """Forward and backward on the rank's own rows, without the penalty."""
    params = [f"{kind}{k}" for k in range(1, net.depth + 1) for kind in "Wb"]
    apart = {name: f"{name}_own" for name in ("loss", *(f"d{p}" for p in params))}
    for node in flow(replace(net, l1=0.0, l2=0.0), optimizer, masks):
        if node.operation not in AFTER:
            yield _renamed(node, apart, rank)


def _together(net: Network, optimizer: Optimizer, rows: Sequence[int], rank: int) -> Iterator[Node]:
    """The all-reduce, and what the rank does with it."""
    options = {"rows": tuple(rows), "reduction": net.reduction}
    penalised = bool(net.l1 or net.l2)

    def reduced(name: str, into: str, layer: int) -> Node:
        parts = tuple(on_rank(f"{name}_own", r) for r in range(len(rows)))
        return Node("all_reduce", parts, (on_rank(into, rank),), options, layer)

    yield reduced("loss", "loss", 0)
    for k in range(net.depth, 0, -1):
        yield reduced(f"dW{k}", f"dW{k}_loss" if penalised else f"dW{k}", k)
        yield reduced(f"db{k}", f"db{k}", k)
    for node in flow(net, optimizer, ()):
        if node.operation in AFTER:
            yield _renamed(node, {}, rank)


def _renamed(node: Node, names: Mapping[str, str], rank: int) -> Node:
    return replace(
        node,
        inputs=tuple(on_rank(names.get(n, n), rank) for n in node.inputs),
        outputs=tuple(on_rank(names.get(n, n), rank) for n in node.outputs),
    )
