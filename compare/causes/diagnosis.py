"""The cause by intervention: turn one knob, replay, and name it only if the difference is gone.

Every wrong operation is tried with every known mistake that touches it, on the inputs that the side
itself recorded, so two mistakes in one step do not blur one another. The smallest set of causes
that explains every wrong tensor is the answer; two such sets are an ambiguity, none is unknown.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from torch_parity.compare.bounds.precision import all_widened, is_real
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.causes.cause import Cause, Effect, Evidence
from torch_parity.compare.causes.explanation import Diagnosis, Explanation, smallest
from torch_parity.compare.causes.intervention import Changed, Stretches, shown_by
from torch_parity.compare.flow.stretch import stretches, with_missing_computed
from torch_parity.compare.flow.trace import Trace, judged_in
from torch_parity.compare.judge.replay import recorded_inputs
from torch_parity.compare.judge.replayed import Replayed

WIDER = "wider_precision"
# What a mistake explained of noise in a record, by chance, showed 0.7 digits at most (431 records);
# the least that a planted mistake showed was 2.2 (675 tensors).
ENOUGH = 2.0


def diagnose(
    side: Trace,
    replayed: tuple[Replayed, ...],
    other: Mapping[str, np.ndarray],
    among: Collection[str] = CATALOGUE,
) -> Diagnosis | None:
    """Explain every wrong tensor of one side; None if there is none that can be judged.

    What was given may hold batch (the full batch size) and previous_dW1... (the gradients of the
    step before); other is what the other side made. They only serve causes that need them. among
    are the names of the causes that come into question.
    """
    faulty = [r for r in replayed if r.wrong]
    wrong = {r.name: i for i, r in enumerate(faulty)}
    if not wrong:
        return None
    # an operation that makes nothing, as the backward of a state of zeros, hides no mistake
    nodes = tuple(node for node in side.nodes if node.outputs)
    start, trace = side.given, side.made
    dtype = judged_in(start, trace)
    wider = {n for n, a in trace.items() if is_real(a.dtype) and a.dtype.itemsize > dtype.itemsize}
    trace = all_widened(_in_one_precision(dtype, trace))
    recorded = recorded_inputs(all_widened(start), trace)
    known = with_missing_computed(nodes, recorded)
    known |= {f"other_{name}": a for name, a in all_widened(other).items()}
    known_in_dtype = _in_one_precision(
        dtype, recorded | {n: a for n, a in known.items() if n.startswith("other_")}
    )
    judged = known_in_dtype, _in_one_precision(dtype, trace)
    evidence = Evidence(nodes, known, trace, dtype, judged, frozenset(wider))
    leading = stretches(nodes, recorded, trace)
    ways = CATALOGUE[WIDER].ways
    right_but_wider = wider & {n for way in ways for n in _explained(way, evidence, leading, wrong)}
    found: list[Explanation] = []
    for cause in (CATALOGUE[name] for name in CATALOGUE if name in among):
        explained = _by_any_way(cause, evidence, leading, wrong)
        if not evidence.unread.isdisjoint(evidence.read):  # shown by a later tensor
            evidence.memo.clear()
            explained = _by_any_way(cause, evidence, leading, wrong)
        evidence.unread.clear()
        if cause.name != WIDER:  # numbers that are right in another type need no other mistake
            explained = {n: c for n, c in explained.items() if n not in right_but_wider}
        if sum(c.digits for c in explained.values()) > ENOUGH:
            tensors = tuple(sorted(explained, key=wrong.__getitem__))
            found.append(Explanation(cause, tensors, explained[tensors[0]]))
    found = [e for e in found if not _leaves_some(e, found, evidence, leading, wrong)]
    return smallest(found, sorted(wrong, key=wrong.__getitem__))


def _leaves_some(
    e: Explanation,
    found: Sequence[Explanation],
    evidence: Evidence,
    leading: Stretches,
    wrong: Mapping[str, int],
) -> bool:
    """Whether a number read off some tensors does not explain others that it would have reached,
    and nothing else does: a learning rate is that of every update, and what fits the biases alone
    is no learning rate."""
    if not e.cause.tuned:
        return False
    explained = {name for other in found for name in other.tensors}
    effects = [effect for way in e.cause.ways for effect in way]
    return any(
        effect.on(node, evidence)
        for end, stretch in leading.items()
        if any(name in wrong and name not in explained for name in end.outputs)
        for node in stretch
        for effect in effects
    )


def _in_one_precision(dtype: np.dtype, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A side that computed in float32 is looked at in the case's precision, to say just that."""
    return {
        name: a.astype(dtype, copy=False) if is_real(np.asarray(a).dtype) else np.asarray(a)
        for name, a in arrays.items()
    }


def _by_any_way(
    cause: Cause, evidence: Evidence, leading: Stretches, wrong: Mapping[str, int]
) -> dict[str, Changed]:
    """The wrong tensors that any form of a mistake accounts for, by the first form that does."""
    explained: dict[str, Changed] = {}
    for way in cause.ways:
        explained |= _explained(way, evidence, leading, wrong) | explained
    return explained


def _explained(
    way: tuple[Effect, ...],
    evidence: Evidence,
    leading: Stretches,
    wrong: Mapping[str, int],
) -> dict[str, Changed]:
    """The wrong tensors that this form of a mistake accounts for, each with the operation that it
    changes.

    A way with several effects (forward and backward, say) has to show them all: in each layer that
    it touches, and wherever it touches the network as a whole.
    """
    status = [shown_by(effect, way, evidence, leading, wrong) for effect in way]
    if any(s is None for s in status):
        return {}
    shown = [s for s in status if s]
    layers = {n.layer for s in shown for n, explains in s.items() if explains}
    if len(way) > 1:
        for s in shown:
            if any(explains is None for n, explains in s.items() if n.layer == 0):
                return {}
            layers -= {n.layer for n, explains in s.items() if n.layer and explains is None}
        if not all(any(n.layer in layers | {0} for n in s) for s in shown):
            return {}
    return {
        name: changed
        for s in shown
        for n, explains in s.items()
        if n.layer in layers
        for name, changed in (explains or {}).items()
    }
