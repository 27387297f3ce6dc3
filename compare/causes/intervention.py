"""One known mistake made in a stretch of operations: whether it gives what was recorded."""

from collections.abc import Iterator, Mapping

import numpy as np

from torch_parity.compare.causes.cause import Effect, Evidence
from torch_parity.compare.flow.nodes import Node, result
from torch_parity.compare.judge.replay import carried_through, replay_stretch

Stretches = Mapping[Node, tuple[Node, ...]]
Changed = tuple[Node, Node]  # an operation, and what the mistake makes of it


def shown_by(
    effect: Effect,
    way: tuple[Effect, ...],
    evidence: Evidence,
    leading: Stretches,
    wrong: Mapping[str, int],
) -> dict[Node, dict[str, Changed] | None] | None:
    """Which wrong tensors the effect explains, by the node that it touches; None where it does not
    hold. None altogether if it touches nothing.

    A node that is right needs a look only where the mistake has several effects.
    """
    touched = [node for node in evidence.nodes if effect.on(node, evidence)]
    status: dict[Node, dict[str, Changed] | None] = {}
    for node in touched:
        for end, stretch in leading.items():
            if node not in stretch:
                continue
            explains = {name for name in end.outputs if name in wrong}
            if explains or len(way) > 1:
                new = _holds(stretch, node, way, effect, evidence)
                found = status.get(node)
                if new is not None:
                    found = (found or {}) | dict.fromkeys(explains, (node, new))
                status[node] = found
    return status if touched else None


def _holds(
    stretch: tuple[Node, ...],
    node: Node,
    way: tuple[Effect, ...],
    effect: Effect,
    evidence: Evidence,
) -> Node | None:
    """The changed node with which the stretch gives what was recorded at its end.

    Within a stretch the mistake may have been made in this node alone, or wherever it can be made.
    """
    for new in _tries(effect, node, evidence):
        if _right(stretch, tuple(new if n is node else n for n in stretch), evidence):
            return new
    everywhere = _holds_everywhere(stretch, way, evidence)
    return everywhere[stretch.index(node)] if everywhere else None


def _holds_everywhere(
    stretch: tuple[Node, ...], way: tuple[Effect, ...], evidence: Evidence
) -> tuple[Node, ...]:
    """The stretch with the mistake made wherever it can be, if that holds; else nothing."""
    key = (id(way), stretch[-1])
    if key not in evidence.memo:
        changed = _changed_everywhere(stretch, way, evidence)
        held = (nodes for nodes in changed if _right(stretch, nodes, evidence))
        evidence.memo[key] = next(held, ())
    found: tuple[Node, ...] = evidence.memo[key]
    return found


def _changed_everywhere(
    stretch: tuple[Node, ...], way: tuple[Effect, ...], evidence: Evidence
) -> Iterator[tuple[Node, ...]]:
    if sum(any(e.on(n, evidence) for e in way) for n in stretch) < 2:
        return
    each = [
        [new for e in way if e.on(n, evidence) for new in _tries(e, n, evidence)] or [n]
        for n in stretch
    ]
    for i in range(max(map(len, each))):
        yield tuple(options[min(i, len(options) - 1)] for options in each)


def _tries(effect: Effect, node: Node, evidence: Evidence) -> list[Node]:
    """The node as the mistake may have changed it; nothing where a record of the wrong shape or
    type does not even let it be tried."""
    try:
        with np.errstate(all="ignore"):
            return list(effect.change(node, evidence))
    except (ValueError, IndexError, TypeError, KeyError, NotImplementedError):
        return []


def _with_makers(changed: tuple[Node, ...], evidence: Evidence) -> tuple[Node, ...]:
    """The nodes, after those that make what only a changed node reads and nobody recorded."""
    known = evidence.judged[0]
    made = {result(n, name) for n in changed for name in n.outputs}
    ahead = [name for n in changed for name in n.inputs if name not in known and name not in made]
    if not ahead:
        return changed
    makers = {result(n, name): n for n in reversed(evidence.nodes) for name in n.outputs}
    needed: set[Node] = set()
    while ahead:
        maker = makers.get(ahead.pop())
        if maker is not None and maker not in needed:
            needed.add(maker)
            ahead += [name for name in maker.inputs if name not in known and name not in made]
    return (*(n for n in evidence.nodes if n in needed), *changed)


def _right(stretch: tuple[Node, ...], changed: tuple[Node, ...], evidence: Evidence) -> bool:
    """Whether the changed nodes give what was recorded at the end."""
    try:
        with np.errstate(all="ignore"):
            if stretch[-1] not in evidence.memo:
                evidence.memo[stretch[-1]] = carried_through(stretch, *evidence.judged)
            right = stretch, evidence.memo[stretch[-1]]
            nodes = _with_makers(changed, evidence)
            return all(r.right for r in replay_stretch(nodes, *evidence.judged, right))
    except (ValueError, IndexError, TypeError, KeyError, NotImplementedError):
        return False
