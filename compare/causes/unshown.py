"""Which known mistakes of the update a record could not have shown.

A mistake that leaves every recorded tensor within its bound goes unnoticed: at Adam's first step
the betas may be swapped, and without the memory's tensors nobody sees what was stored in it.
"""

from collections.abc import Mapping

import numpy as np

from torch_parity.compare.bounds.precision import all_widened
from torch_parity.compare.causes import adam, optimizer, schedules, update_rules
from torch_parity.compare.causes.cause import Effect, Evidence
from torch_parity.compare.causes.optimizer import COUNT, UPDATE
from torch_parity.compare.causes.schedules import SCHEDULE
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.flow.stretch import stretches, with_missing_computed
from torch_parity.compare.flow.trace import Trace, judged_in
from torch_parity.compare.judge.replay import recorded_inputs, replay_stretch


def unshown(side: Trace) -> tuple[str, ...]:
    """The names of these mistakes, for a side that is right; none if it recorded no update."""
    given, made = all_widened(side.given), all_widened(side.made)
    known = recorded_inputs(given, made)
    ends = {
        end: stretch
        for end, stretch in stretches(side.nodes, known, made).items()
        if any(where(n, _NOTHING) for n in stretch for where in (UPDATE, COUNT, SCHEDULE))
    }
    if not ends:
        return ()
    complete = with_missing_computed(side.nodes, known)
    evidence = Evidence(side.nodes, complete, made, judged_in(given, made), (known, made))
    return tuple(
        cause.name
        for cause in (*optimizer.CAUSES, *adam.CAUSES, *update_rules.CAUSES, *schedules.CAUSES)
        if not cause.tuned and any(_unnoticed(way, ends, evidence) for way in cause.ways)
    )


_NOTHING = Evidence((), {})


def _unnoticed(
    way: tuple[Effect, ...], ends: Mapping[Node, tuple[Node, ...]], evidence: Evidence
) -> bool:
    """Whether the mistake, made wherever it can be, leaves all that was recorded right."""
    changed: dict[Node, Node] = {}
    for effect in way:
        for node in evidence.nodes:
            made = list(effect.change(node, evidence))[:1] if effect.on(node, evidence) else []
            if made:
                changed[node] = made[0]
    touched = [stretch for stretch in ends.values() if not changed.keys().isdisjoint(stretch)]
    return bool(touched) and all(_right(stretch, changed, evidence) for stretch in touched)


def _right(stretch: tuple[Node, ...], changed: Mapping[Node, Node], evidence: Evidence) -> bool:
    nodes = tuple(changed.get(node, node) for node in stretch)
    try:
        with np.errstate(all="ignore"):
            return all(r.right for r in replay_stretch(nodes, *evidence.judged))
    except (ValueError, IndexError, TypeError, KeyError, NotImplementedError, ArithmeticError):
        return False
