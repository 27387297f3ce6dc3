"""The law of several steps in a row: each begins from what the step before it left.

Every step reads the same x, y and masks. What step 2 makes is called W1@2, dz1@2; what it begins
from is what step 1 made, recorded or not, so that a mistake in an optimizer's memory shows in the
weights of a later step although nobody handed the memory over.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from torch_parity.compare.causes.plant import execute
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.flow.trace import Tensors


def in_step(name: str, step: int) -> str:
    """What a tensor of a step is called among those of several; steps count from 1."""
    return name if step == 1 else f"{name}@{step}"


def of_all_steps(steps: Sequence[Tensors]) -> dict[str, np.ndarray]:
    """The tensors of several steps under the names that tell them apart."""
    return {in_step(n, k): a for k, made in enumerate(steps, 1) for n, a in made.items()}


def several_steps(
    nodes: Sequence[Node], given: Collection[str], count: int
) -> tuple[tuple[Node, ...], ...]:
    """The nodes of each of `count` steps; nodes are those of one step, which was given these."""
    updated = {name for node in nodes for name in node.outputs if name in given}
    later = (_later(nodes, given, updated, k) for k in range(2, count + 1))
    return (tuple(nodes), *later)


def _later(
    nodes: Sequence[Node], given: Collection[str], updated: Collection[str], step: int
) -> tuple[Node, ...]:
    """The nodes of a step that reads what the one before it has updated."""
    fixed = set(given) - set(updated)

    def read(name: str) -> str:
        if name in updated:
            return f"new_{name}" if step == 2 else in_step(name, step - 1)
        return name if name in fixed else in_step(name.removeprefix("new_"), step)

    found: dict[Node, Node] = {}
    for node in nodes:
        found[node] = replace(
            node,
            inputs=tuple(read(name) for name in node.inputs),
            outputs=tuple(in_step(name, step) for name in node.outputs),
            forward=found.get(node.forward) if node.forward else None,
        )
    return tuple(found.values())


def in_torch(steps: Sequence[Sequence[Node]], start: Tensors, first: Tensors) -> Tensors:
    """Several steps in torch's own arithmetic, the first of them as it was recorded."""
    at: dict[str, np.ndarray] = {**start, **{f"new_{n}": a for n, a in first.items() if n in start}}
    made = dict(first)
    for nodes in steps[1:]:
        step = execute(tuple(nodes), at, "torch")
        at |= step
        made |= step
    return made


def gradients_before(steps: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What would be in .grad when a later step begins, should nobody have cleared it."""
    return {
        f"previous_{in_step(name, k)}": array
        for k, before in enumerate(steps, 2)
        for name, array in before.items()
        if name.startswith("d") and k <= len(steps)
    }
