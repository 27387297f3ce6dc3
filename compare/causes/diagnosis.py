"""The cause by intervention: turn one knob, replay, and name it only if the difference is gone.

Every wrong operation is tried with every known mistake that touches it, on the inputs that the side
itself recorded, so two mistakes in one step do not blur one another. The smallest set of causes
that explains every wrong tensor is the answer; two such sets are an ambiguity, none is unknown.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np

from torch_parity.compare.bounds.precision import all_widened, is_real
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.causes.cause import Cause, Effect, Evidence
from torch_parity.compare.causes.remedies import numbers_of
from torch_parity.compare.flow.nodes import Node, result
from torch_parity.compare.flow.stretch import stretches, with_missing_computed
from torch_parity.compare.flow.trace import Trace, judged_in
from torch_parity.compare.judge.replay import carried_through, recorded_inputs, replay_stretch
from torch_parity.compare.judge.replayed import Replayed

Stretches = Mapping[Node, tuple[Node, ...]]

MOST = 3  # causes in one step; more are reported as unknown


Changed = tuple[Node, Node]  # an operation, and what the mistake makes of it


@dataclass(frozen=True)
class Explanation:
    """A cause, the wrong tensors that it explains, in flow order, and the first operation with what
    the mistake made of it."""

    cause: Cause
    tensors: tuple[str, ...]
    changed: Changed | None = None

    @property
    def remedy(self) -> tuple[str, str]:
        """The right line of this operation, in NumPy and in torch."""
        cause = self.cause
        if cause.remedy is None or self.changed is None:
            return cause.manual, cause.torch
        return cause.remedy(self.changed[0])

    @property
    def numbers(self) -> str:
        """The numbers of the mistake beside the right ones, where it has any."""
        return numbers_of(*self.changed) if self.changed else ""


@dataclass(frozen=True)
class Diagnosis:
    """Why one side is wrong.

    alternatives are sets of causes that each explain all that can be explained: one is a unique
    answer, several cannot be told apart on this step. unexplained names the wrong tensors that no
    known mistake accounts for, in flow order.
    """

    alternatives: tuple[tuple[Explanation, ...], ...]
    unexplained: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """unique, ambiguous or unknown; a wrong tensor left unexplained makes it unknown."""
        if self.unexplained or not self.alternatives:
            return "unknown"
        return "unique" if len(self.alternatives) == 1 else "ambiguous"

    @property
    def names(self) -> tuple[frozenset[str], ...]:
        """The names of each alternative."""
        return tuple(frozenset(e.cause.name for e in a) for a in self.alternatives)


WIDER = "wider_precision"


def diagnose(
    side: Trace, replayed: tuple[Replayed, ...], other: Mapping[str, np.ndarray]
) -> Diagnosis | None:
    """Explain every wrong tensor of one side; None if there is none that can be judged.

    What was given may hold batch (the full batch size) and previous_dW1... (the gradients of the
    step before); other is what the other side made. They only serve causes that need them.
    """
    faulty = [r for r in replayed if r.wrong]
    wrong = {r.name: i for i, r in enumerate(faulty)}
    if not wrong:
        return None
    nodes, start, trace = side.nodes, side.given, side.made
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
    for cause in CATALOGUE.values():
        explained: dict[str, Changed] = {}
        for way in cause.ways:
            explained |= _explained(way, evidence, leading, wrong) | explained
        if cause.name != WIDER:  # numbers that are right in another type need no other mistake
            explained = {n: c for n, c in explained.items() if n not in right_but_wider}
        if explained:
            tensors = tuple(sorted(explained, key=wrong.__getitem__))
            found.append(Explanation(cause, tensors, explained[tensors[0]]))
    return _smallest(found, sorted(wrong, key=wrong.__getitem__))


def _in_one_precision(dtype: np.dtype, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A side that computed in float32 is looked at in the case's precision, to say just that."""
    return {
        name: a.astype(dtype, copy=False) if is_real(np.asarray(a).dtype) else np.asarray(a)
        for name, a in arrays.items()
    }


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
    status = [_shown(effect, way, evidence, leading, wrong) for effect in way]
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


def _shown(
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


def _smallest(found: list[Explanation], wrong: list[str]) -> Diagnosis:
    can = set(chain.from_iterable(e.tensors for e in found))
    target = [name for name in wrong if name in can]
    unexplained = tuple(name for name in wrong if name not in can)
    for size in range(1, MOST + 1):
        covers = {frozenset(e.cause.name for e in c): c for c in _covers(found, target, size)}
        if covers:
            # a number read off the record can imitate a mistake that needs none
            own = [c for c in covers.values() if not _yields(c, covers)]
            plain = [c for c in own if not any(e.cause.tuned for e in c)]
            return Diagnosis(tuple(plain or own), unexplained)
    return Diagnosis((), tuple(wrong))


def _yields(cover: tuple[Explanation, ...], covers: Collection[frozenset[str]]) -> bool:
    """Whether another cover has, in place of one of these causes, the one that it yields to."""
    names = frozenset(e.cause.name for e in cover)
    return any(names - {e.cause.name} | {e.cause.yields_to} in covers for e in cover)


def _covers(
    found: list[Explanation], target: list[str], size: int
) -> Iterator[tuple[Explanation, ...]]:
    """Sets of at most `size` explanations that together account for every tensor of target."""
    if not target:
        yield ()
    elif size:
        for e in found:
            if target[0] in e.tensors:
                rest = [name for name in target if name not in e.tensors]
                for others in _covers(found, rest, size - 1):
                    yield (e, *others)
