"""Mistakes before the first operation: the wrong rows."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from torch_parity.compare.causes.cause import Cause, Evidence, one
from torch_parity.compare.flow.nodes import Node


def _is_input(node: Node, e: Evidence) -> bool:
    """The copy of the batch that the model begins with."""
    return e.graph.is_copy(node) and node.layer == 0


def _other_rows(node: Node, e: Evidence) -> Iterable[Node]:
    x, h0 = e.known[node.inputs[0]], e.trace.get(node.outputs[0])
    if e.rng is not None:
        rows = x[e.rng.permutation(len(x))]
    elif h0 is None or h0.shape != x.shape or not _same_rows(h0, x):
        return []
    else:
        rows = h0
    return [replace(node, formula=lambda f, given: f["like"](rows, given) + 0 * given)]


def _same_rows(a: np.ndarray, b: np.ndarray) -> bool:
    return sorted(map(tuple, a.tolist())) == sorted(map(tuple, b.tolist()))


CAUSES = (
    Cause(
        "shuffled_rows",
        "The rows of the batch are in another order.",
        "x, y = x[order], y[order]  # one order for both sides",
        "torch.tensor(x[order])  # the batch that the other side gets",
        (one(_other_rows, _is_input),),
    ),
)
