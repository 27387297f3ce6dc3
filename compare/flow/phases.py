"""The phase of a training step that an operation belongs to: forward, backward or update."""

from collections.abc import Iterable, Iterator
from typing import Literal

from torch_parity.compare.flow.nodes import Node, is_private
from torch_parity.compare.register import OPTIMIZERS, SCHEDULES

Phase = Literal["forward", "backward", "update"]
PHASES: tuple[Phase, ...] = ("forward", "backward", "update")


def with_phases(nodes: Iterable[Node]) -> Iterator[tuple[Node, Phase]]:
    """Each node with its phase. What reads a gradient belongs to the backward too: the sum over
    micro-batches, the clipping."""
    gradients: set[str] = set()
    for node in nodes:
        phase: Phase = "forward"
        if node.operation in (*OPTIMIZERS, *SCHEDULES, "count"):
            phase = "update"
        elif (
            node.forward is not None
            or node.operation in ("accumulate", "zeros")
            or not gradients.isdisjoint(node.inputs)
        ):
            phase = "backward"
            gradients |= set(node.outputs)
        yield node, phase


def phases(nodes: Iterable[Node]) -> dict[str, Phase]:
    """The phase of every tensor that the nodes make."""
    return {
        o: phase for node, phase in with_phases(nodes) for o in node.outputs if not is_private(o)
    }
