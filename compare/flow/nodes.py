"""Nodes: which operation makes which tensor from which others, by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Node:
    """outputs = operation(*inputs, **options), all by name.

    W1 as an input is the parameter that the step was given, new_W1 the one that it makes; as an
    output W1 is always the new one. A name with # in it is private: it is computed while replaying
    and compared with nothing (the share that one reader has in a tensor's gradient).

    forward is, for a node of the backward, the forward node whose gradients it makes. layer counts
    the layers with parameters from 1; 0 is the model as a whole. line is the source line that
    called the operation, where it was recorded. formula, where there is one, stands in for the
    operation: a known mistake, called with the table of functions before the inputs. also is called
    alike, and is another right formula: what it makes is as right as what the operation makes.
    """

    operation: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    layer: int = 0
    formula: Callable[..., Any] | None = None
    forward: "Node | None" = None
    line: str = ""
    also: Callable[..., Any] | None = None


def result(node: Node, output: str) -> str:
    """The name by which later nodes ask for it: W1 is what was given, new_W1 what was made."""
    return f"new_{output}" if output in node.inputs else output


def renamed(nodes: Sequence[Node], called: Callable[[str], str]) -> list[Node]:
    """The nodes with other names; those of the backward belong to the renamed forward nodes."""
    found: dict[Node, Node] = {}
    for node in nodes:
        inputs, outputs = (tuple(map(called, names)) for names in (node.inputs, node.outputs))
        forward = found.get(node.forward) if node.forward else None
        found[node] = replace(node, inputs=inputs, outputs=outputs, forward=forward)
    return list(found.values())


def is_private(name: str) -> bool:
    """Whether a tensor is a share that nothing records."""
    return "#" in name


def active_masks(masks: Mapping[str, np.ndarray]) -> list[str]:
    """The masks that change anything: with p = 0 they are all ones, and there is no dropout."""
    return [name for name, mask in masks.items() if not (mask == 1).all()]
