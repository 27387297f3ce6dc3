"""The verdict on one step: do the two sides compute the same, and if not, who is wrong, where, why.

Each side's operations are replayed on the inputs that side recorded. A gap between two sides that
should have done the same with the same, and whose operations are all right, is rounding, however
wide. Where that cannot be said the tensor is unjudged, unless the two are equal. A training
compares cheaply first (quick.py), and replays what is in doubt.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np

from torch_parity.compare.bounds.precision import all_widened, is_half, is_real, widened
from torch_parity.compare.causes.diagnosis import diagnose
from torch_parity.compare.causes.explanation import Diagnosis
from torch_parity.compare.flow.expressions import (
    different_operations,
    different_options,
    expressions,
)
from torch_parity.compare.flow.nodes import Node, is_private, result
from torch_parity.compare.flow.stretch import stretches, with_missing_computed
from torch_parity.compare.flow.trace import Tensors, Trace, judged_in
from torch_parity.compare.judge.differences import Difference, compare, largest, without_bound
from torch_parity.compare.judge.given_zeros import given_zeros
from torch_parity.compare.judge.outcome import Answer
from torch_parity.compare.judge.quick import explained, small_differences
from torch_parity.compare.judge.replay import recorded_inputs, replay, replay_stretch
from torch_parity.compare.judge.replayed import Replayed
from torch_parity.compare.judge.witness import exact_derivative

Side = Literal["manual", "torch"]
SIDES: tuple[Side, Side] = ("manual", "torch")


@dataclass(frozen=True)
class Fault:
    """An operation whose output its own recorded inputs do not explain.

    witness is the exact derivative of the forward at the same entry, for gradients (else None);
    other what the other side recorded there; reach the largest size in each input of an operation
    whose output is not finite.
    """

    side: Side
    found: Replayed
    witness: float | None = None
    other: float | None = None
    reach: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Judgement:
    """Every tensor's difference; where there was doubt, each side's replay, and why it is wrong.

    given_zeros are given tensors that were read, and are 0 in every entry: nothing showed how they
    are used.
    """

    differences: tuple[Difference, ...]
    replays: dict[Side, tuple[Replayed, ...]] = field(default_factory=dict)
    root: Fault | None = None
    diagnoses: dict[Side, Diagnosis] = field(default_factory=dict)
    given_zeros: tuple[str, ...] = ()

    @property
    def outcome(self) -> Answer:
        """FAIL if a tensor differs by more than rounding, is missing, or is wrong on a side;
        UNJUDGED if that cannot be said of every one."""
        if any(d.failed for d in self.differences) or any(self.wrong.values()):
            return "FAIL"
        return "UNJUDGED" if self.unjudged else "PASS"

    @property
    def passed(self) -> bool:
        """Every tensor is there on both sides and agrees, up to rounding; no replay is wrong."""
        return self.outcome == "PASS"

    @cached_property
    def unjudged(self) -> tuple[Difference, ...]:
        """The tensors that differ, nobody knows whether by rounding."""
        return tuple(d for d in self.differences if d.verdict == "unjudged")

    @property
    def wrong(self) -> dict[Side, tuple[str, ...]]:
        """The tensors of each side that its own inputs do not explain, in flow order."""
        return {
            side: tuple(r.name for r in replays if r.wrong)
            for side, replays in self.replays.items()
        }

    @property
    def wrong_sides(self) -> tuple[Side, ...]:
        """Who is to blame: none, one, or both."""
        return tuple(side for side, names in self.wrong.items() if names)

    @property
    def consequences(self) -> tuple[str, ...]:
        """Tensors that differ though both sides computed them rightly: their inputs differed."""
        own = {name for names in self.wrong.values() for name in names}
        made = {r.name for r in self.replays.get("manual", ())} - own
        return tuple(d.name for d in self.differences if d.verdict == "differs" and d.name in made)

    @property
    def foreign(self) -> tuple[str, ...]:
        """Tensors that no operation of this step makes."""
        made = {r.name for r in self.replays.get("manual", ())}
        names = (d.name for d in self.differences if made and d.name not in made)
        return tuple(name for name in names if not name.startswith("given "))

    @property
    def zeros(self) -> tuple[str, ...]:
        """Tensors that are 0 in every entry, and rightly so: no wrong factor would show there."""
        replays = self.replays.get("manual", ())
        return tuple(r.name for r in replays if r.right and r.power == float("inf"))

    @property
    def last_agreeing(self) -> str | None:
        """The tensor right before the root in flow order."""
        names = [r.name for r in self.replays.get("manual", ())]
        at = names.index(self.root.found.name) if self.root else 0
        return names[at - 1] if at else None

    @property
    def different_losses(self) -> bool:
        """The loss, penalty or cost of one side is wrong, and not what the other has."""
        apart = {d.name for d in self.differences if not d.passed}
        own = {name for names in self.wrong.values() for name in names}
        return bool(apart & own & {"loss", "penalty", "cost"})

    @property
    def finite(self) -> bool:
        """False once NaN or infinity has appeared, after which no step can be judged."""
        return all(d.verdict != "not finite" for d in self.differences)


def judge(
    nodes: tuple[Node, ...],
    start: Tensors,
    manual: Tensors,
    torch: Tensors,
    always_replay: bool = False,
) -> Judgement:
    """Compare two recorded steps that began from the same start.

    nodes says what the step should compute (flow.py); start holds x, y, parameters,
    optimizer state and masks, and may hold batch and previous_... (see diagnosis.py).
    A replay of all costs about ten steps, so it is done in doubt, or on request. Halves are always
    in doubt; where the start is in half precision, the hand began from the same numbers in float32.
    """
    whole = all(name in manual or is_private(name) for node in nodes for name in node.outputs)
    sides: dict[Side, Trace] = {
        "manual": Trace(all_widened(start), manual, nodes),
        "torch": Trace(start, torch, nodes),
    }
    if is_half(judged_in(start, torch)):
        return _judge(compare(manual, all_widened(torch)), sides, gaps=False)
    if not whole or always_replay:
        return _judge(compare(manual, torch), sides, gaps=False)
    small = small_differences(nodes, recorded_inputs(start, manual), manual)
    differences = compare(manual, torch, bounds=small)
    doubted = {d.name for d in differences if not d.passed}
    alike = all(d.verdict == "differs" for d in differences if d.name in doubted)
    if not doubted or (alike and explained(sides.values(), doubted)):
        return Judgement(_as_rounding(differences, doubted))
    return _judge(compare(manual, torch), sides, gaps=False)


def judge_traces(
    manual: Trace, torch: Trace, called: tuple[str, str] = ("manual", "torch")
) -> Judgement:
    """Compare two recorded steps, each with a start and nodes of its own, and with any gaps.

    A side without nodes cannot be replayed: its tensors are compared, and nobody knows who is
    right. What the sides were given is compared as well, and called "given W1".
    """
    sides: dict[Side, Trace] = {"manual": manual, "torch": torch}
    differences = compare(all_widened(manual.made), all_widened(torch.made), called)
    given = [{f"given {n}": widened(a) for n, a in t.given.items()} for t in sides.values()]
    if any(given) and manual.given is not torch.given:
        differences = (*compare(given[0], given[1], called), *differences)
    differences = _with_nodes(differences, sides, called)
    return _judge(differences, sides, gaps=True)


def _judge(
    differences: tuple[Difference, ...], sides: Mapping[Side, Trace], gaps: bool
) -> Judgement:
    """gaps: whether a side may have left some of its tensors out."""
    replays = {side: replay(t.nodes, t.given, t.made, gaps) for side, t in sides.items()}
    differences = _settled(differences, sides, replays)
    if not any(r.wrong for replayed in replays.values() for r in replayed):
        return Judgement(differences, replays, given_zeros=given_zeros(sides.values()))
    diagnoses = {
        side: found
        for side, other in (SIDES, SIDES[::-1])
        if (found := diagnose(sides[side], replays[side], sides[other].made))
    }
    return Judgement(differences, replays, _root(sides, replays), diagnoses)


def _settled(
    differences: tuple[Difference, ...],
    sides: Mapping[Side, Trace],
    replays: Mapping[Side, tuple[Replayed, ...]],
) -> tuple[Difference, ...]:
    """What each difference is. A gap between two sides that are both right is rounding, if both
    should have done the same with the same, and no mistake has reached it."""
    if not all(d.passed for d in differences if d.name.startswith("given ")):
        return differences  # everything else may follow from what was given
    first, second = expressions(*(trace.nodes for trace in sides.values()))
    same = {name for name, made in first.items() if second.get(name) == made}
    right = set.intersection(*({r.name for r in of if r.right} for of in replays.values()))
    reached = _reached(sides, replays)

    def settled(d: Difference) -> Difference:
        if d.verdict != "differs" or d.name in reached:
            return d
        if d.name in same:
            return replace(d, verdict="rounding" if d.name in right else "unjudged")
        return without_bound(d, sides["torch"].made[d.name].dtype)

    return tuple(settled(d) for d in differences)


def _with_nodes(
    differences: tuple[Difference, ...], sides: Mapping[Side, Trace], called: tuple[str, str]
) -> tuple[Difference, ...]:
    """What the nodes of the two sides say of a difference. Options are no rounded numbers: where
    the sides name different ones, they differ, even if it shows in no number of this step."""
    nodes = [trace.nodes for trace in sides.values()]
    options, operations = different_options(*nodes), different_operations(*nodes)

    def told(d: Difference) -> Difference:
        if d.name in options and d.verdict in ("match", "differs"):
            return replace(d, verdict="options", detail=options[d.name].format(*called))
        if d.name in operations and d.verdict == "differs":
            return replace(d, detail=f"{operations[d.name].format(*called)}; {d.detail}")
        return d

    return tuple(told(d) for d in differences)


def _as_rounding(
    differences: tuple[Difference, ...], names: Collection[str]
) -> tuple[Difference, ...]:
    return tuple(replace(d, verdict="rounding") if d.name in names else d for d in differences)


def _reached(sides: Mapping[Side, Trace], replays: Mapping[Side, tuple[Replayed, ...]]) -> set[str]:
    """The tensors that are wrong on a side, and all that follows from them."""
    reached: set[str] = set()
    for side, trace in sides.items():
        wrong = {r.name for r in replays[side] if r.wrong}
        known: set[str] = set()  # as later nodes call them
        for node in trace.nodes:
            follows = not known.isdisjoint(node.inputs)
            names = [name for name in node.outputs if follows or name in wrong]
            known |= {result(node, name) for name in names}
            reached |= {*names}
    return reached


def _root(sides: Mapping[Side, Trace], replays: Mapping[Side, tuple[Replayed, ...]]) -> Fault:
    """The first wrong operation in flow order; manual's, where both are wrong in the same place."""
    order: dict[str, int] = {}
    for side in SIDES:
        for node in sides[side].nodes:
            for name in node.outputs:
                order.setdefault(name, len(order))
    side, found = min(
        ((s, r) for s in SIDES for r in replays[s] if r.wrong),
        key=lambda fault: order[fault[1].name],
    )
    if found.outcome not in ("wrong", "not finite"):
        return Fault(side, found)
    trace = sides[side]
    seen = sides["torch" if side == "manual" else "manual"].made.get(found.name)
    there = seen is not None and found.index < seen.shape
    other = float(seen[found.index]) if seen is not None and there else None
    known = recorded_inputs(trace.given, trace.made)
    node = next(n for n in trace.nodes if found.name in n.outputs)
    if found.outcome == "not finite":
        return Fault(side, found, None, other, _reach(node, known))
    complete = with_missing_computed(trace.nodes, known)
    return Fault(side, found, exact_derivative(node, found.name, found.index, complete), other)


def first_not_finite(trace: Trace, side: Side) -> Fault | None:
    """The first operation of one side's step that made NaN or infinity; None where none did."""
    name = next((n for n, a in trace.made.items() if not np.isfinite(a).all()), None)
    if name is None:
        return None
    known = recorded_inputs(trace.given, trace.made)
    node = next(n for n in trace.nodes if name in n.outputs)
    stretch = stretches(trace.nodes, known, trace.made)[node]
    found = next(r for r in replay_stretch(stretch, known, trace.made) if r.name == name)
    return Fault(side, found, reach=_reach(node, known))


def _reach(node: Node, known: Tensors) -> dict[str, float]:
    return {n: largest(known[n]) for n in node.inputs if n in known and is_real(known[n].dtype)}
