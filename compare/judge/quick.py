"""What is done in every step of a training: most tensors are settled without a replay.

Two right sides differ by little: an entry that sums n terms rounds n times, up or down by chance,
so the two sums end some sqrt(n) u apart (u is the unit roundoff). A tensor that differs by more is
in doubt. Its operation is then computed once more in its own precision, from what either side
recorded, and has to be as close to what that side made of it: what came in with the inputs (a unit
that falls on the other side of relu's kink) is in both. What is left is replayed, that operation
alone.

A bound here proves nothing, so it is small: who is over it is only looked at more closely. It sees
no mistake that both sides make, and none below it; every step that is logged is replayed whole.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import cache

import numpy as np

from torch_parity.compare.bounds.precision import is_real, precision
from torch_parity.compare.flow.functions import FUNCTIONS, STRUCTURE, apply, split
from torch_parity.compare.flow.nodes import Node, result
from torch_parity.compare.flow.stretch import stretches
from torch_parity.compare.flow.trace import Tensors, Trace
from torch_parity.compare.judge.differences import compare
from torch_parity.compare.judge.replay import recorded_inputs, replay_stretch
from torch_parity.compare.register import OPERATIONS, OPTIMIZERS

PER_SUM, PER_ENTRY = 2.0, 8.0  # units of u: for each sqrt(n) of a sum, and for all else


def small_differences(nodes: Sequence[Node], known: Tensors, made: Tensors) -> dict[str, float]:
    """For each tensor that the nodes make, the relative difference of two sides that is in no
    doubt. An elementwise operation hands on what its inputs differ by."""
    found: dict[str, float] = {}
    for node in nodes:
        own = _own_difference(node, known, made)
        if _is_elementwise(node.operation):
            handed_on = max((found.get(name, 0.0) for name in node.inputs), default=0.0)
            own = {name: max(small, handed_on) for name, small in own.items()}
        found |= own
    return found


def _own_difference(node: Node, known: Tensors, made: Tensors) -> dict[str, float]:
    """What an operation's own rounding makes of the same inputs."""
    inputs = [known[name].size for name in node.inputs if name in known]
    found = {}
    for name in node.outputs:
        if name in made and made[name].size and is_real(made[name].dtype):
            n = 1.0 if _is_elementwise(node.operation) else _terms(inputs, made[name].size)
            u = precision(made[name].dtype).eps / 2
            found[name] = _steps(node, known) * (PER_SUM * n**0.5 + PER_ENTRY) * u
    return found


def _steps(node: Node, known: Tensors) -> int:
    """How many steps a recurrence takes, each of which rounds; 1 for any other operation."""
    row = OPERATIONS.get(split(node.operation)[0])
    if row is None or not row.again:
        return 1
    shapes = (known[name].shape for name in node.inputs if name in known)
    return next((shape[1] for shape in shapes if len(shape) == 3), 1)


def explained(sides: Iterable[Trace], doubted: Collection[str]) -> bool:
    """Whether each side made the doubted tensors as it should have, of what it recorded."""
    return all(_explained(trace, doubted) for trace in sides)


def _explained(trace: Trace, doubted: Collection[str]) -> bool:
    known = recorded_inputs(trace.given, trace.made)
    nodes = [node for node in trace.nodes if not set(node.outputs).isdisjoint(doubted)]
    leading = stretches(trace.nodes, known, trace.made)
    for node in nodes:
        stretch = leading[node]
        small = _own_difference(node, known, trace.made)
        made = {name: trace.made[name] for name in node.outputs if name in trace.made}
        again = _again(stretch, known)
        near = again is not None and all(d.passed for d in compare(made, again, bounds=small))
        if not near and not all(r.right for r in replay_stretch(stretch, known, trace.made)):
            return False
    return {name for node in nodes for name in node.outputs} >= set(doubted)


def _again(stretch: Sequence[Node], known: Tensors) -> dict[str, np.ndarray] | None:
    """What the last node makes, in the precision of its inputs; None where these do not fit."""
    at: dict[str, np.ndarray] = {}
    try:
        with np.errstate(all="ignore"):
            for node in stretch:
                inputs = [known[n] if n in known else at[n] for n in node.inputs]
                made = apply(node, FUNCTIONS, inputs)
                at |= {result(node, n): a for n, a in zip(node.outputs, made, strict=True)}
    except (KeyError, ValueError, IndexError, TypeError, ArithmeticError):
        return None
    return {n: np.asarray(a) for n, a in zip(stretch[-1].outputs, made, strict=True)}


@cache
def _is_elementwise(operation: str) -> bool:
    """Whether an entry is made of few numbers: the register says so."""
    row = OPERATIONS.get(split(operation)[0])
    if row is None:
        return operation in STRUCTURE or operation in OPTIMIZERS
    return row.kind in ("activation", "dropout", "arithmetic", "layout")


def _terms(inputs: Sequence[int], output: int) -> float:
    """About how many terms an entry sums: k in (m, k) @ (k, n), m in a sum over m rows."""
    first, *others = sorted(inputs, reverse=True) or [1]
    product = (first * others[0] / output) ** 0.5 if others else 1.0
    return max(1.0, product, first / output)
