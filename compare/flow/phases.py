"""The phase of a training step that an operation belongs to: forward, backward or update."""

from collections.abc import Iterable
from typing import Literal

from torch_parity.compare.flow.nodes import Node, is_private
from torch_parity.compare.register import OPTIMIZERS, SCHEDULES

Phase = Literal["forward", "backward", "update"]
PHASES: tuple[Phase, ...] = ("forward", "backward", "update")


def phase_of(node: Node) -> Phase:
    """The phase of one operation."""
    if node.operation in (*OPTIMIZERS, *SCHEDULES, "count"):
        return "update"
    turned = node.forward is not None or node.operation in ("accumulate", "zeros")
    return "backward" if turned else "forward"


def phases(nodes: Iterable[Node]) -> dict[str, Phase]:
    """The phase of every tensor that the nodes make."""
    return {o: phase_of(node) for node in nodes for o in node.outputs if not is_private(o)}
