"""One known mistake made in a stretch of operations: whether it gives what was recorded."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from torch_parity.compare.bounds.precision import LOWER, fits_into
from torch_parity.compare.causes.cause import Effect, Evidence
from torch_parity.compare.flow.nodes import Node, result
from torch_parity.compare.judge.replay import (
    Carried,
    carried_through,
    computed,
    replay_stretch,
)
from torch_parity.compare.judge.replayed import Replayed

# What a record of the wrong shape or type raises.
UNFIT = (ValueError, IndexError, TypeError, KeyError, NotImplementedError)

Stretches = Mapping[Node, tuple[Node, ...]]


class Changed(NamedTuple):
    """An operation, what the mistake makes of it, and how plainly that shows (Replayed.digits)."""

    node: Node
    new: Node
    digits: float


def shown_by(
    effect: Effect,
    way: tuple[Effect, ...],
    evidence: Evidence,
    leading: Stretches,
    wrong: Mapping[str, int],
) -> dict[Node, dict[str, Changed] | None] | None:
    """Which wrong tensors the effect explains, by the node that it touches; None where it does not
    hold. None altogether if it touches nothing.

    A node that is right needs a look only where the mistake has several effects. It refutes the
    mistake where it would be wrong with it, whatever other tensors allow.
    """
    touched = [node for node in evidence.nodes if effect.on(node, evidence)]
    status: dict[Node, dict[str, Changed] | None] = {}
    refuted: set[Node] = set()
    for node in touched:
        for end, stretch in leading.items():
            if node not in stretch:
                continue
            explains = [name for name in end.outputs if name in wrong]
            if explains or len(way) > 1:
                new, digits = _holds(stretch, node, way, effect, evidence, explains)
                found = status.get(node)
                if new is not None:
                    shown = dict.fromkeys(explains if digits else (), Changed(node, new, digits))
                    found = (found or {}) | shown
                elif not explains:
                    refuted.add(node)
                status[node] = found
    status |= dict.fromkeys(refuted)
    return status if touched else None


def _holds(
    stretch: tuple[Node, ...],
    node: Node,
    way: tuple[Effect, ...],
    effect: Effect,
    evidence: Evidence,
    wrong: Sequence[str],
) -> tuple[Node | None, float]:
    """The changed node with which the stretch gives what was recorded at its end, and how plainly
    the wrong tensors there show the mistake.

    Within a stretch the mistake may have been made in this node alone, or wherever it can be made.
    """
    alone = (
        tuple(new if n is node else n for n in stretch) for new in _tries(effect, node, evidence)
    )
    found, digits = _first(alone, stretch, evidence, wrong)
    if not digits:
        everywhere, digits = _holds_everywhere(stretch, way, evidence, wrong)
        found = everywhere if digits else found or everywhere
    return (found[stretch.index(node)] if found else None), digits


def _holds_everywhere(
    stretch: tuple[Node, ...],
    way: tuple[Effect, ...],
    evidence: Evidence,
    wrong: Sequence[str],
) -> tuple[tuple[Node, ...], float]:
    """The stretch with the mistake made wherever it can be, if that holds, and how plainly."""
    key = (id(way), stretch[-1])
    if key not in evidence.memo:
        changed = _changed_everywhere(stretch, way, evidence)
        evidence.memo[key] = _first(changed, stretch, evidence, wrong)
    found: tuple[tuple[Node, ...], float] = evidence.memo[key]
    return found


def _first(
    tries: Iterable[tuple[Node, ...]],
    stretch: tuple[Node, ...],
    evidence: Evidence,
    wrong: Sequence[str],
) -> tuple[tuple[Node, ...], float]:
    """The first that gives what was recorded and shows in what is wrong, or else the first that
    gives it; nothing where none does."""
    held: tuple[Node, ...] = ()
    for changed in tries:
        if _right(stretch, changed, evidence):
            digits = _digits(stretch, changed, evidence, wrong)
            if digits or not wrong:
                return changed, digits
            held = held or changed
    return held, 0.0


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
    except UNFIT:
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
    found = _replayed(stretch, changed, evidence, evidence.judged[1])
    return bool(found) and all(r.right for r in found)


def _digits(
    stretch: tuple[Node, ...],
    changed: tuple[Node, ...],
    evidence: Evidence,
    wrong: Sequence[str],
) -> float:
    """How plainly the wrong tensors show this mistake: how far beyond the bounds the right numbers
    would be with it. 0 where they would pass as well; then its bound is so wide that it explains
    nothing.

    A mistake that only rounds shows in numbers that have too few digits, or too many.
    """
    if not wrong:
        return 0.0
    trace = evidence.judged[1]
    right = _right_numbers(stretch, evidence)
    if not right or not evidence.wider.isdisjoint(wrong):
        return np.inf
    instead = {name: right[name].astype(a.dtype) for name, a in trace.items() if name in right}
    if any(_has_fewer_digits(trace[name], instead[name]) for name in wrong if name in instead):
        return np.inf
    found = _replayed(stretch, changed, evidence, {**trace, **instead})
    return sum(r.digits for r in found if r.name in wrong)


def _has_fewer_digits(recorded: np.ndarray, right: np.ndarray) -> bool:
    return any(fits_into(recorded, to) and not fits_into(right, to) for to in LOWER)


def _right_numbers(stretch: tuple[Node, ...], evidence: Evidence) -> dict[str, np.ndarray]:
    """What should have been recorded at the end of a stretch; nothing where the right operation
    does not run on what it was given."""
    key = "right", stretch[-1]
    if key not in evidence.memo:
        evidence.memo[key] = {}
        with suppress(*UNFIT), np.errstate(all="ignore"):
            carried = _carried(stretch, evidence)
            evidence.memo[key] = computed(stretch[-1], evidence.judged[0], carried)
    found: dict[str, np.ndarray] = evidence.memo[key]
    return found


def _carried(stretch: tuple[Node, ...], evidence: Evidence) -> Carried:
    if stretch[-1] not in evidence.memo:
        evidence.memo[stretch[-1]] = carried_through(stretch, *evidence.judged)
    found: Carried = evidence.memo[stretch[-1]]
    return found


def _replayed(
    stretch: tuple[Node, ...],
    changed: tuple[Node, ...],
    evidence: Evidence,
    trace: Mapping[str, np.ndarray],
) -> list[Replayed]:
    """What a trace has at the end, judged by the changed nodes; nothing where they do not run."""
    try:
        with np.errstate(all="ignore"):
            right = stretch, _carried(stretch, evidence)
            nodes = _with_makers(changed, evidence)
            return replay_stretch(nodes, evidence.judged[0], trace, right)
    except UNFIT:
        return []
