"""Replay: every recorded operation again, in higher precision, from the inputs that the same side
recorded, and its output compared with the bound that rounding allows it.

Errors that came in with the inputs are not this operation's fault, so nothing adds up on the way
and no kink can excuse anything: what is over its bound was computed by another formula. It is one
pass: a recorded tensor replaces the computed one before anything reads it, and what was not
recorded is carried on with its bound. Where an operation has two right formulas, an output within
the bound of either is right.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.precision import is_real
from torch_parity.compare.flow.functions import (
    FUNCTIONS,
    PRIMITIVES,
    apply,
    once_more,
    right_formulas,
    split,
)
from torch_parity.compare.flow.nodes import Node, is_private, result
from torch_parity.compare.flow.stretch import between, stretches
from torch_parity.compare.judge.reach import says_nothing
from torch_parity.compare.judge.replayed import Outcome, Replayed, numeric, within_bound
from torch_parity.manual.recording import input_names


class _Table(dict[str, Any]):
    """The functions that a formula may call; the register may have grown since."""

    def __missing__(self, name: str) -> Any:
        return FUNCTIONS[name]


TABLE: Mapping[str, Any] = _Table(PRIMITIVES)

WORST = 1024  # doubtful entries of a tensor that are looked at before all others


def replay(
    nodes: Sequence[Node],
    start: Mapping[str, np.ndarray],
    trace: Mapping[str, np.ndarray],
    gaps: bool = False,
) -> tuple[Replayed, ...]:
    """One Replayed per recorded output, in flow order.

    start holds what the step was given (x, y, parameters, masks, optimizer state), trace what it
    recorded. Unless gaps are allowed, an output that is not recorded is missing.
    """
    replaying = _Replay(nodes, recorded_inputs(start, trace), trace, gaps)
    return tuple(found for node in nodes for found in replaying.node(node))


def recorded_inputs(
    start: Mapping[str, np.ndarray], trace: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Everything a node can ask for: W1 as it was given, new_W1 as the step left it."""
    return {**trace, **{f"new_{name}": trace[name] for name in start if name in trace}, **start}


@dataclass
class _Carried:
    """A computed value, and the types that it may have been recorded in."""

    value: Any
    types: frozenset[np.dtype]


Carried = Mapping[str, _Carried]


def carried_through(
    stretch: Sequence[Node], known: Mapping[str, np.ndarray], trace: Mapping[str, np.ndarray]
) -> Carried:
    """What the nodes before the last compute, for replay_stretch of changed ones."""
    replaying = _Replay(stretch, known, trace, gaps=True)
    for node in stretch[:-1]:
        replaying.node(node)
    return replaying.carried


def computed(end: Node, known: Mapping[str, np.ndarray], carried: Carried) -> dict[str, np.ndarray]:
    """What the last node of a stretch gives by its own formula, in higher precision."""
    read = [_bounded(known[n]) if n in known else carried[n].value for n in end.inputs]
    made = apply(end, TABLE, read)
    plain = (x.value if isinstance(x, Bounded) else np.asarray(x) for x in made)
    return dict(zip(end.outputs, plain, strict=True))


def replay_stretch(
    stretch: Sequence[Node],
    known: Mapping[str, np.ndarray],
    trace: Mapping[str, np.ndarray],
    right: tuple[Collection[Node], Carried] = ((), {}),
) -> list[Replayed]:
    """The recorded outputs of the last of these nodes; the others lead up to it.

    right holds nodes, and what they carried: those of the stretch that are among them, and read
    nothing that another node has made, are not computed again.
    """
    replaying = _Replay(stretch, known, trace, gaps=True)
    nodes, carried = right
    changed: set[str] = set()
    for node in stretch[:-1]:
        made = {result(node, name) for name in node.outputs}
        if node in nodes and changed.isdisjoint(node.inputs):
            replaying.carried |= {name: carried[name] for name in made if name in carried}
        else:
            replaying.node(node)
            changed |= made
    return replaying.node(stretch[-1])


class _Replay:
    """One pass over some nodes, in order."""

    def __init__(
        self,
        nodes: Sequence[Node],
        known: Mapping[str, np.ndarray],
        trace: Mapping[str, np.ndarray],
        gaps: bool,
    ) -> None:
        self.nodes, self.known, self.trace, self.gaps = nodes, known, trace, gaps
        self.carried: dict[str, _Carried] = {}
        self._stretches: dict[Node, tuple[Node, ...]] | None = None

    def node(self, node: Node) -> list[Replayed]:
        """Compute the node, judge what it made as far as it is recorded, and carry the rest."""
        absent = [n for n in node.inputs if n not in self.known and n not in self.carried]
        if absent:
            detail = f"{node.operation} needs {', '.join(absent)}, which is not recorded"
            return self._all(node, "not judged", detail)
        recorded = {name: self.known[name] for name in node.inputs if name in self.known}
        for name, a in recorded.items():
            if not numeric(a) and a.dtype != bool:  # a mask of attention is of booleans
                detail = f"its input {name} is {a.dtype}, not numbers"
                return self._all(node, "not judged", detail)
            if not _finite(a):
                return self._all(node, "not judged", f"its input {name} is not finite already")
        inputs = [self._input(name) for name in node.inputs]
        try:
            outputs = _by_each_formula(node, inputs, _own(node, self.trace))
        except NotImplementedError as error:
            return self._all(node, "not judged", str(error))
        except (ValueError, IndexError, TypeError, ArithmeticError) as error:
            return self._all(node, "shape", _unfitting(node, inputs, error))
        types = frozenset(a.dtype for a in recorded.values() if is_real(a.dtype)).union(
            *(self.carried[n].types for n in node.inputs if n in self.carried)
        )
        found: list[Replayed] = []
        for i, name in enumerate(node.outputs):
            if name in self.trace or not (self.gaps or is_private(name)):
                found.append(self._judged(node, i, inputs, [made[i] for made in outputs], types))
            else:
                value = _either([made[i] for made in outputs])
                self.carried[result(node, name)] = _Carried(value, types)
        return found

    def _input(self, name: str) -> Any:
        return _bounded(self.known[name]) if name in self.known else self.carried[name].value

    def _judged(
        self,
        node: Node,
        i: int,
        inputs: Sequence[Any],
        expected: Sequence[Any],
        types: Collection[np.dtype],
    ) -> Replayed:
        """Output i, which each right formula expects to be something; the best of these verdicts,
        with the power that is left where either formula passes."""
        by_each = [self._by(formula, node, i, e, types) for formula, e in enumerate(expected)]
        by_each[1:] = map(_not_excused, by_each[1:])
        seen = min(by_each, key=_preference)
        if seen.outcome == "right" and once_more(node):
            return _not_excused(
                seen, "through the steps rounding could grow to as much as all of it"
            )
        if seen.outcome == "right":
            first = expected[0]
            bounded = isinstance(first, Bounded) and seen.power > 1
            bounded = bounded and not self._is_zero(seen.name, first)
            if bounded and says_nothing(node, i, TABLE, inputs, first):
                detail = "its bound is above all that this operation gives, so any number would do"
                return replace(seen, outcome="not judged", detail=detail)
            return replace(seen, power=max(by.power for by in by_each if by.power == by.power))
        inner = between(self._stretch(node), self.known) if seen.outcome == "wrong" else ()
        if inner:
            through = " and ".join([", ".join(inner[:-1]), inner[-1]] if inner[1:] else inner)
            were, of = ("were", "any of them") if inner[1:] else ("was", "it")
            detail = f"{through} {were} not recorded, so the mistake may be in computing {of}"
            seen = replace(seen, detail=detail)
        return seen

    def _is_zero(self, name: str, expected: Bounded) -> bool:
        """Whether it is 0 in every entry, and rightly so. Reports say that this shows little."""
        return not np.any(self.trace[name]) and not np.any(expected.value)

    def _by(
        self, formula: int, node: Node, i: int, expected: Any, types: Collection[np.dtype]
    ) -> Replayed:
        name = node.outputs[i]
        seen = within_bound(name, node.operation, self.trace.get(name), expected, types)
        if seen.outcome != "wrong":
            return seen
        stretch = self._stretch(node)
        read = {name for n in stretch for name in n.inputs if name in self.known}
        if seen.use > _greatest_gain([self.known[name] for name in read]):
            return seen
        return _closer(stretch, formula, i, self.known, self.trace, expected, types)

    def _stretch(self, node: Node) -> tuple[Node, ...]:
        if self._stretches is None:
            self._stretches = stretches(self.nodes, self.known, self.trace)
        return self._stretches[node]

    def _all(self, node: Node, outcome: Outcome, detail: str) -> list[Replayed]:
        return [
            Replayed(name, node.operation, outcome, detail=detail)
            for name in node.outputs
            if name in self.trace or not (self.gaps or is_private(name))
        ]


def _unfitting(node: Node, inputs: Sequence[Any], error: Exception) -> str:
    """Why the operation cannot be computed from these inputs: in its own words, or else what it
    takes and what it was given."""
    own = split(node.operation)[0]
    if node.formula is not None or str(error).startswith(own):
        return str(error)
    takes = ", ".join(input_names(FUNCTIONS[node.operation]))
    given = ", ".join(f"{n} {np.shape(x)}" for n, x in zip(node.inputs, inputs, strict=True))
    return f"{node.operation} takes {takes}; it was given {given}, whose shapes do not fit"


def _by_each_formula(
    node: Node, inputs: Sequence[Any], own: Sequence[Any] = ()
) -> list[tuple[Any, ...]]:
    """The node's outputs by each right formula of its operation; own are those that were recorded,
    with which a recurrence is judged step by step."""
    again = once_more(node)
    if again is not None and (own or node.forward is not None):
        return [again(TABLE, *inputs, *own, **node.options)]
    return [apply(by, TABLE, inputs) for by in right_formulas(node)]


def _own(node: Node, trace: Mapping[str, np.ndarray], doubt: np.ndarray | None = None) -> list[Any]:
    """What the node made as it was recorded, if all of it was, and is made of finite numbers."""
    made = [trace[name] for name in node.outputs if name in trace]
    whole = len(made) == len(node.outputs) and all(is_real(a.dtype) and _finite(a) for a in made)
    needed = whole and node.forward is None and once_more(node) is not None
    return [_bounded(a, doubt) for a in made] if needed else []


def _either(values: Sequence[Any]) -> Any:
    """One value whose bound covers every formula's. A formula that makes no number of an entry, as
    inf / inf, adds nothing there."""
    first, *others = values
    if not isinstance(first, Bounded):
        return first
    reach = [
        np.where(np.isnan(v.value), 0, np.abs(v.value - first.value).astype(np.float64) + v.error)
        for v in others
    ]
    return first.like(first.value, np.maximum.reduce([first.error, *reach])) if others else first


def _not_excused(
    by: Replayed,
    detail: str = "another right formula could round it to anything as large as itself",
) -> Replayed:
    """The verdict of a second formula or of many steps, which excuses nothing where it rounds away
    all there is."""
    if by.outcome != "right" or not 1 < by.power < np.inf:
        return by
    return replace(by, outcome="not judged", detail=detail)


def _preference(seen: Replayed) -> tuple[int, float]:
    """Right first, then not judged, then wrong; of two alike the one with the smaller use."""
    order = {"right": 0, "not judged": 1}.get(seen.outcome, 2)
    return order, seen.use if seen.use == seen.use else np.inf


def _closer(
    stretch: Sequence[Node],
    formula: int,
    i: int,
    known: Mapping[str, np.ndarray],
    trace: Mapping[str, np.ndarray],
    expected: Any,
    types: Collection[np.dtype],
) -> Replayed:
    """Output i once more by that formula, with the drift that the terms of its doubtful entries
    have.

    That costs n operations an entry, and of a wrong tensor every entry may be doubtful. So only the
    worst of them are given it at first, and all others the worst that there is: where that does not
    save the tensor, nothing does.
    """
    node = stretch[-1]
    recorded = trace[node.outputs[i]]
    gap = np.abs(recorded - expected.value)
    doubt = (gap > expected.error).astype(np.uint8)
    looks = [doubt]
    if np.count_nonzero(doubt) > WORST:
        uses = np.divide(gap, expected.error, out=np.zeros_like(gap), where=doubt > 0)
        first = np.full_like(doubt, 2)
        first.flat[np.argpartition(uses, -WORST, axis=None)[-WORST:]] = 1
        looks = [first, doubt]
    for look in looks:
        at: dict[str, Any] = {}
        for part in stretch:
            inputs = [_bounded(known[n], look) if n in known else at[n] for n in part.inputs]
            made = _by_each_formula(part, inputs, _own(part, trace, look))
            at |= {result(part, n): _either(v) for n, *v in zip(part.outputs, *made, strict=True)}
        seen = within_bound(node.outputs[i], node.operation, recorded, made[formula][i], types)
        if seen.outcome == "wrong":
            break
    return seen


def _bounded(recorded: np.ndarray, doubt: np.ndarray | None = None) -> Any:
    """Class indices and step counters are no rounded numbers; they stay what they are."""
    return Bounded.exact(recorded, doubt) if is_real(recorded.dtype) else recorded


def _greatest_gain(inputs: list[np.ndarray]) -> float:
    """How much a bound can grow at a closer look: from sqrt(n) to n, for n entries in a sum."""
    return float(np.sqrt(max(a.size for a in inputs)))


def _finite(array: np.ndarray) -> bool:
    return bool(np.isfinite(array).all())
