"""What lies between recorded tensors: any part of a step may be left out of a record.

A stretch is the nodes that lead from what is recorded to one recorded tensor, through what is not.
Rounding bounds pass through it, and a mistake in it shows in the tensor at its end.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from torch_parity.compare.flow.functions import FUNCTIONS, apply
from torch_parity.compare.flow.nodes import Node, is_private, result


def stretches(
    nodes: Sequence[Node], known: Collection[str], made: Collection[str]
) -> dict[Node, tuple[Node, ...]]:
    """For each node that made something recorded, itself and the nodes that lead up to it.

    known holds all names that a node may ask for (recorded_inputs in compare/judge/replay.py).
    """
    makers = {result(n, name): n for n in reversed(nodes) for name in n.outputs}
    order = {node: i for i, node in enumerate(nodes)}
    found = {}
    for node in nodes:
        if not set(node.outputs).intersection(made):
            continue
        needed = {node: None}
        ahead = [node]
        while ahead:
            for name in ahead.pop().inputs:
                maker = None if name in known else makers.get(name)
                if maker is not None and maker not in needed:
                    needed[maker] = None
                    ahead.append(maker)
        found[node] = tuple(sorted(needed, key=order.__getitem__))
    return found


def between(stretch: Sequence[Node], known: Collection[str]) -> list[str]:
    """The tensors that a stretch computes on the way to its end, but for plain copies."""
    read = {name for node in stretch for name in node.inputs}
    worked = (n for n in stretch if n.operation not in ("identity", "identity_backward"))
    made = (result(node, name) for node in worked for name in node.outputs)
    return [name for name in made if name in read and name not in known and not is_private(name)]


def with_missing_computed(
    nodes: Sequence[Node], known: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What is known, and what follows from it, computed by hand."""
    at = dict(known)
    for node in nodes:
        names = [result(node, name) for name in node.outputs]
        if set(names) <= set(at) or not all(name in at for name in node.inputs):
            continue
        try:
            with np.errstate(all="ignore"):
                made = apply(node, FUNCTIONS, [at[name] for name in node.inputs])
            at = dict(zip(names, made, strict=True)) | at
        except (ValueError, IndexError, TypeError, ArithmeticError):
            continue  # recorded in a shape or type with which nothing follows
    return at
