"""Any network in the catalogue's words: which of its tensors is z1, a1, dz1, W1... .

The known mistakes speak of a layer's z and a. A module's fc1 and fc1.weight, or the names in a
file, are translated for the diagnosis, as far as the network is a chain of layers, and back again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from torch_parity.compare.causes.diagnosis import Diagnosis, Explanation, diagnose
from torch_parity.compare.flow.nodes import UPDATES, Node
from torch_parity.compare.flow.trace import Trace
from torch_parity.compare.judge.replay import Replayed
from torch_parity.compare.register import OPERATIONS

PREFIXES = ("new_", "previous_")
LOSSES = {name for name, op in OPERATIONS.items() if op.is_loss}
ACTIVATIONS = {name for name, op in OPERATIONS.items() if op.differentiable == ("z",)} - LOSSES
SLOTS = {"momentum": ("v",), "momentum_course": ("v",), "adam": ("v", "s"), "sgd": ()}


def diagnose_in_course_names(
    side: Trace,
    replayed: tuple[Replayed, ...],
    other: Mapping[str, np.ndarray],
    joined: tuple[Node, ...],
) -> Diagnosis | None:
    """diagnose, for a step whose tensors may have any names; those of the answer are the step's."""
    names = course_names(side.nodes)
    if not _usable(names, side):
        return diagnose(side.nodes, side.given, side.made, replayed, other, joined)
    renamed = {node: _node(node, names, {}) for node in side.nodes}
    found = diagnose(
        tuple(renamed.values()),
        {_name(n, names): a for n, a in side.given.items()},
        {_name(n, names): a for n, a in side.made.items()},
        tuple(replace(r, name=_name(r.name, names)) for r in replayed),
        {_name(n, names): a for n, a in other.items()},
        tuple(_node(node, names, renamed) for node in joined),
    )
    if found is None:
        return None
    back = {course: name for name, course in names.items()}
    return Diagnosis(
        tuple(
            tuple(Explanation(e.cause, tuple(_name(n, back) for n in e.tensors)) for e in a)
            for a in found.alternatives
        ),
        tuple(_name(n, back) for n in found.unexplained),
    )


def course_names(nodes: tuple[Node, ...]) -> dict[str, str]:
    """Tensor by tensor, what the course calls it; what has no place in a chain is left out."""
    names: dict[str, str] = {}
    layer = 0
    for node in nodes:
        layer += node.operation == "linear"
        if node.operation == "identity_backward" and node.inputs[1] in names:
            names[node.inputs[0]] = "da" + names[node.inputs[1]][1:]  # not the dz that it becomes
        for name, course in _named(node, names, layer):
            names.setdefault(name, course)
    return names


def _named(node: Node, names: Mapping[str, str], layer: int) -> Iterator[tuple[str, str]]:
    operation, first = node.operation, names.get(node.inputs[0], "")
    if operation == "linear":
        yield from zip(node.inputs, ("x", f"W{layer}", f"b{layer}"), strict=False)
        yield node.outputs[0], f"z{layer}"
    elif operation in ACTIVATIONS and first.startswith("z"):
        yield node.outputs[0], "a" + first[1:]
    elif operation in ("dropout", "identity") and first.startswith("a"):
        yield from zip(node.inputs[1:], ("mask" + first[1:],), strict=False)
        yield node.outputs[0], "h" + first[1:]
    elif operation in LOSSES:
        yield from ((node.inputs[1], "y"), (node.outputs[0], "loss"))
    elif operation in UPDATES.values() and first:
        slots = (*SLOTS[operation], "")
        yield from ((name, s + first) for name, s in zip(node.outputs, slots, strict=True))
        counters = (n.removeprefix("new_") for n in node.inputs if n.startswith("new_"))
        yield from ((name, "t" + first) for name in counters)
    elif operation.startswith("linear_backward"):
        yield from _gradients(node, names)
    elif operation.endswith("_backward"):
        of = names.get(node.inputs[0 if operation.removesuffix("_backward") in LOSSES else 1], "")
        if of.startswith(("a", "z", "mask")):
            yield node.outputs[0], "d" + of.replace("mask", "a")


def _gradients(node: Node, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """dx, dW, db of the layer whose dz comes in."""
    dz = names.get(node.inputs[0], "")
    if not dz.startswith("dz"):
        return
    *dx, dW, db = node.outputs
    yield from ((dW, f"dW{dz[2:]}"), (db, f"db{dz[2:]}"))
    of = names.get(node.inputs[1], "")
    if dx and of != "x":
        yield dx[0], "d" + of


def _usable(names: Mapping[str, str], side: Trace) -> bool:
    """Something is called otherwise, and no course name is taken by something else."""
    taken = {*side.given, *side.made, *(n for node in side.nodes for n in node.outputs)}
    clash = any(course in taken and course not in names for course in names.values())
    distinct = len(set(names.values())) == len(names)
    return distinct and not clash and any(name != course for name, course in names.items())


def _name(name: str, names: Mapping[str, str]) -> str:
    before = next((p for p in PREFIXES if name.startswith(p)), "")
    return before + names.get(name.removeprefix(before), name.removeprefix(before))


def _node(node: Node, names: Mapping[str, str], known: Mapping[Node, Node]) -> Node:
    """The node under course names, in the layer that its outputs name."""
    if node in known:
        return known[node]
    outputs = tuple(_name(n, names) for n in node.outputs)
    digits = "".join(c for c in outputs[0] if c.isdigit()) if outputs[0] != node.outputs[0] else ""
    return replace(
        node,
        inputs=tuple(_name(n, names) for n in node.inputs),
        outputs=outputs,
        layer=int(digits) if digits else node.layer,
        parts=tuple(known[p] for p in node.parts),
    )
