"""The law of one step with clipping: the norm of all gradients together, then each one scaled."""

from collections.abc import Sequence
from dataclasses import replace

from torch_parity import manual
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register import OPTIMIZERS
from torch_parity.manual.clipping import clipped_names
from torch_parity.manual.names import unclipped

TOTAL_NORM = "total_norm"


def clipped_flow(
    nodes: Sequence[Node], net: manual.Model, clipping: manual.Clipping
) -> tuple[Node, ...]:
    """The nodes of a step with clipping between the gradients and what reads them."""
    names = tuple(clipped_names(net, clipping).values())

    def made_long(node: Node) -> Node:
        if set(names).isdisjoint(node.outputs):
            return node
        outputs = tuple(unclipped(name) if name in names else name for name in node.outputs)
        return replace(node, outputs=outputs)

    before = [made_long(n) for n in nodes if not _after_clipping(n, clipping)]
    after = [n for n in nodes if _after_clipping(n, clipping)]
    layers = {name: n.layer for n in before for name in n.outputs}
    long = tuple(map(unclipped, names))
    norm = Node("get_total_norm", long, (TOTAL_NORM,))
    options = {"max_norm": clipping.max_norm}
    clips = (
        Node("clip_grads_with_norm", (d, TOTAL_NORM), (name,), options, layers[d])
        for name, d in zip(names, long, strict=True)
    )
    return (*before, norm, *clips, *after)


def _after_clipping(node: Node, clipping: manual.Clipping) -> bool:
    late = node.operation == "penalty_backward" and clipping.before_penalty
    return late or node.operation in OPTIMIZERS or node.operation == "count"
