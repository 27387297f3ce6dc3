"""Finds the given tensors that are 0 in every entry, so that nothing shows how a step uses them.

A bias of zeros may be forgotten, or subtracted, and every tensor is the same.
"""

from collections.abc import Iterable, Iterator

from torch_parity.compare.causes.cause import Evidence
from torch_parity.compare.causes.optimizer import COUNT, UPDATE
from torch_parity.compare.causes.schedules import SCHEDULE
from torch_parity.compare.flow.nodes import Node, result
from torch_parity.compare.flow.stretch import stretches, with_missing_computed
from torch_parity.compare.flow.trace import Trace
from torch_parity.compare.judge.replay import recorded_inputs

_NOTHING = Evidence((), {})


def given_zeros(sides: Iterable[Trace]) -> tuple[str, ...]:
    """Their names, of either side, in the order in which they were given.

    The memory of an optimizer is not among them: it is 0 at first, and causes/unshown.py tries
    which mistakes that hides. Nor is what a later step reads again when it is no longer 0.
    """
    return tuple(dict.fromkeys(name for side in sides for name in _of_side(side)))


def _of_side(side: Trace) -> Iterator[str]:
    zeros = [n for n, a in side.given.items() if a.size and a.dtype.kind != "i" and not a.any()]
    if not zeros:
        return
    known = recorded_inputs(side.given, side.made)
    judged = {n for s in stretches(side.nodes, known, side.made).values() for n in s}
    read = {name for node in judged if not _is_update(node) for name in node.inputs}
    later = {result(node, name): name for node in judged for name in node.outputs if name in zeros}
    at = with_missing_computed(side.nodes, known) if later.keys() & read else known
    moved = {name for new, name in later.items() if new in read and new in at and at[new].any()}
    yield from (name for name in zeros if name in read and name not in moved)


def _is_update(node: Node) -> bool:
    return any(where(node, _NOTHING) for where in (UPDATE, COUNT, SCHEDULE))
