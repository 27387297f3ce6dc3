"""Mistakes on symbols."""

from collections.abc import Iterable
from dataclasses import replace

from torch_parity.compare.causes.cause import Cause, Evidence, on, one
from torch_parity.compare.flow.nodes import Node


def _padding_learns(node: Node, e: Evidence) -> Iterable[Node]:
    if node.options["padding_idx"] is None:
        return []
    return [replace(node, options={**node.options, "padding_idx": None})]


CAUSES = (
    Cause(
        "padding_row_gradient",
        "The row of the padding symbol has a gradient.",
        "used = symbols != padding_idx; np.add.at(dweight, symbols[used], dout[used])",
        "nn.Embedding(symbols, n, padding_idx=0)",
        (one(_padding_learns, on("embedding_backward")),),
    ),
)
