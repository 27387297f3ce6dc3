"""The cause by intervention: turn one knob, replay, and name it only if the difference is gone.

Every wrong operation is tried with every known mistake that touches it, on the inputs that the side
itself recorded, so two mistakes in one step do not blur one another. The smallest set of causes
that explains every wrong tensor is the answer; two such sets are an ambiguity, none is unknown.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np

from compare.causes import CATALOGUE
from compare.causes.cause import Cause, Effect, Evidence
from compare.flow import Node
from compare.replay import Replayed, recorded_inputs, replay_node

MOST = 3  # causes in one step; more are reported as unknown


@dataclass(frozen=True)
class Explanation:
    """A cause, and the wrong tensors that it explains, in flow order."""

    cause: Cause
    tensors: tuple[str, ...]


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


def diagnose(
    nodes: tuple[Node, ...],
    start: Mapping[str, np.ndarray],
    trace: Mapping[str, np.ndarray],
    replayed: tuple[Replayed, ...],
    other: Mapping[str, np.ndarray] | None = None,
) -> Diagnosis | None:
    """Explain every wrong tensor of one side; None if there is none that can be judged.

    start may hold batch (the full batch size) and previous_dW1... (the gradients of the step
    before); other is the trace of the other side. They only serve causes that need them.
    """
    faulty = [r for r in replayed if not r.right and r.outcome != "not judged"]
    wrong = {r.name: i for i, r in enumerate(faulty)}
    if not wrong:
        return None
    trace = _in_one_precision(start, trace)
    known = recorded_inputs(start, trace)
    known |= {f"other_{name}": a for name, a in (other or {}).items()}
    evidence = Evidence(nodes, known, trace)
    found: list[Explanation] = []
    for cause in CATALOGUE.values():
        explained = set(chain.from_iterable(_explained(w, evidence, wrong) for w in cause.ways))
        if explained:
            found.append(Explanation(cause, tuple(sorted(explained, key=wrong.__getitem__))))
    return _smallest(found, sorted(wrong, key=wrong.__getitem__))


def _in_one_precision(
    start: Mapping[str, np.ndarray], trace: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """A side that computed in float32 is looked at in the case's precision, to say just that."""
    dtype = next((a.dtype for name, a in start.items() if name.startswith("W")), None)
    return {
        name: a.astype(dtype) if a.dtype.kind == "f" and dtype is not None else np.asarray(a)
        for name, a in trace.items()
    }


def _explained(way: tuple[Effect, ...], evidence: Evidence, wrong: Mapping[str, int]) -> set[str]:
    """The wrong tensors that this form of a mistake accounts for.

    A way with several effects (forward and backward, say) has to show them all: in each layer that
    it touches, and wherever it touches the network as a whole.
    """
    status: list[dict[Node, bool]] = []
    for effect in way:
        matching = [node for node in evidence.nodes if effect.on(node)]
        if not matching:
            return set()
        # a node that is right needs a look only where the mistake has several effects
        status.append(
            {
                node: _holds(node, effect, evidence)
                for node in matching
                if len(way) > 1 or any(name in wrong for name in node.outputs)
            }
        )
    explaining = [
        {n for n, holds in s.items() if holds and any(name in wrong for name in n.outputs)}
        for s in status
    ]
    layers = {n.layer for nodes in explaining for n in nodes}
    if len(way) > 1:
        for s in status:
            whole = {n for n in s if n.layer == 0}
            if not all(s[n] for n in whole):
                return set()
            layers -= {n.layer for n, holds in s.items() if n.layer and not holds}
        if not all(any(n.layer in layers | {0} for n in s) for s in status):
            return set()
    return {
        name
        for nodes in explaining
        for n in nodes
        if n.layer in layers
        for name in n.outputs
        if name in wrong
    }


def _holds(node: Node, effect: Effect, evidence: Evidence) -> bool:
    """Whether one of the changed nodes gives what was recorded.

    A record of the wrong shape or type may not even let the mistake be tried; then it does not.
    """
    try:
        with np.errstate(all="ignore"):
            return any(
                all(r.right for r in replay_node(changed, evidence.known, evidence.trace))
                for changed in effect.change(node, evidence)
            )
    except (ValueError, IndexError, TypeError):
        return False


def _smallest(found: list[Explanation], wrong: list[str]) -> Diagnosis:
    can = set(chain.from_iterable(e.tensors for e in found))
    target = [name for name in wrong if name in can]
    unexplained = tuple(name for name in wrong if name not in can)
    for size in range(1, MOST + 1):
        covers = {frozenset(e.cause.name for e in c): c for c in _covers(found, target, size)}
        if covers:
            # a number read off the record can imitate a mistake that needs none
            plain = [c for c in covers.values() if not any(e.cause.tuned for e in c)]
            return Diagnosis(tuple(plain or covers.values()), unexplained)
    return Diagnosis((), tuple(wrong))


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
