"""Traces with gaps: nodes whose outputs nobody recorded are joined to the next one recorded.

So any subset of a step can be judged. Rounding bounds run on through a segment by themselves, and
a mistake in the gap shows in the tensor at its end.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from torch_parity.compare.flow.nodes import Node, result
from torch_parity.compare.judge.replay import apply
from torch_parity.compare.register import FUNCTIONS


def join(
    nodes: tuple[Node, ...], known: Collection[str], made: Collection[str]
) -> tuple[Node, ...]:
    """One node per operation that made something that was recorded; what leads up to it from what
    is known, through what is not, becomes its parts.

    known holds all names that a node may ask for (compare/judge/replay.py, recorded_inputs).
    """
    return tuple(
        _joined(node, nodes, known, made) for node in nodes if set(node.outputs) & set(made)
    )


def _joined(
    node: Node, nodes: tuple[Node, ...], known: Collection[str], made: Collection[str]
) -> Node:
    outputs = tuple(name for name in node.outputs if name in made)
    needed = [node]
    for part in needed:
        for name in part.inputs:
            maker = None if name in known else _maker(name, nodes)
            if maker is not None and maker not in needed:
                needed.append(maker)
    if needed == [node] and outputs == node.outputs:
        return node
    parts = tuple(n for n in nodes if n in needed)
    return with_parts(replace(node, outputs=outputs, options={}), parts, known)


def with_parts(node: Node, parts: tuple[Node, ...], known: Collection[str]) -> Node:
    """The node made of these parts; its inputs are what the parts need and do not make."""
    inner = {result(n, name) for n in parts for name in n.outputs}
    needed = {name: None for n in parts for name in n.inputs if name in known or name not in inner}
    return replace(node, inputs=tuple(needed), parts=parts)


def _maker(name: str, nodes: tuple[Node, ...]) -> Node | None:
    return next((n for n in nodes for made in n.outputs if result(n, made) == name), None)


def filled(nodes: tuple[Node, ...], known: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is known, and by hand what is not, as far as it follows from what is."""
    at = dict(known)
    for node in nodes:
        if all(name in at for name in node.inputs):
            names = [result(node, name) for name in node.outputs]
            if not set(names) <= set(at):
                try:
                    with np.errstate(all="ignore"):
                        made = apply(node, FUNCTIONS, [at[name] for name in node.inputs])
                except (ValueError, IndexError, TypeError):
                    continue  # recorded in a shape or type with which nothing follows
                at = dict(zip(names, made, strict=True)) | at
    return at
