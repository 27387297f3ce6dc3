"""A judgement in words: what is wrong first, who, why, and what to write instead."""

import math
from collections.abc import Iterable, Iterator, Mapping

from torch_parity.compare.causes.diagnosis import Diagnosis
from torch_parity.compare.judge.judge import SIDES, Fault, Judgement, Side

Names = Mapping[Side, str]
CALLED: Names = {side: side for side in SIDES}


def sentences(j: Judgement, called: Names = CALLED) -> Iterator[str]:
    """The findings of a judgement that did not pass, most important first; called names the
    sides."""
    if not j.root:
        bad = [d for d in j.differences if not d.passed]
        yield f"{bad[0].name}: {bad[0].detail}."
        if more := bad[1:]:
            names = ", ".join(d.name for d in more[:8]) + (", ..." if more[8:] else "")
            yield f"So it is with {len(more)} more: {names}."
        if j.replays:
            yield "Every operation is right on its own inputs: the two compute different things."
        return
    r, side = j.root.found, called[j.root.side]
    if r.outcome == "not finite":
        yield from _not_finite(j, j.root, called)
        return
    yield f"First wrong: {side}'s {r.operation} -> {r.name}, {_numbers(j)}."
    yield _who(j, called)
    if j.last_agreeing:
        yield f"Everything before it is right, up to {j.last_agreeing}."
    if j.consequences:
        yield f"Tensors that differ as a consequence alone: {len(j.consequences)}."
    if j.foreign:
        yield f"Not part of this step, so judged by nobody: {', '.join(j.foreign)}."
    for at in SIDES:
        if at in j.diagnoses:
            yield from _why(called[at], j.diagnoses[at])


def short(j: Judgement, called: Names = CALLED) -> str:
    """One line: operation, cause, side."""
    first = next(iter(sentences(j, called)))
    causes = [
        f"{called[side]}: {' or '.join(' + '.join(sorted(n)) for n in d.names) or 'unknown cause'}"
        for side, d in j.diagnoses.items()
    ]
    return f"{first} Cause: {'; '.join(causes)}." if causes else first


def _not_finite(j: Judgement, fault: Fault, called: Names) -> Iterator[str]:
    """Either the numbers outgrew their type, mostly on both sides alike; or a side made NaN or
    infinity of inputs that give a number."""
    r, side, other = fault.found, called[fault.side], called[_other(fault.side)]
    what, reach = _broke(fault)
    alike = fault.other is not None and not math.isfinite(fault.other)
    if math.isfinite(r.expected):
        yield f"{side}'s {what}; {reach}."
        yield _who(j, called)
    elif alike:
        yield f"training diverged: {what}, on both sides; {reach}."
        yield "The sides agree, so it is the training that diverges: try a smaller lr."
    else:
        there = "did not get that far" if fault.other is None else f"has {fault.other:.9g} there"
        yield f"training diverged: {side}'s {what}; {reach}. {other} {there}."
        yield "The inputs outgrow what the type can hold: try a smaller lr."


def lost(faults: Mapping[str, Fault]) -> Iterator[str]:
    """Who runs free and is no longer finite, though the judged step, from torch's state, is. Where
    the inputs give a number it was computed wrongly."""
    for who, fault in faults.items():
        what, reach = _broke(fault)
        yield f"Left to run free, {who} is lost: its {what}; {reach}."
        if math.isfinite(fault.found.expected):
            yield "Its own inputs give a number, so it is wrong."
        else:
            yield "Its numbers outgrow what the type can hold: try a smaller lr."
    if faults:
        yield "The judged step, from torch's state, is finite on both sides."


def powerless(zeros: Iterable[str]) -> Iterator[str]:
    """What a PASS does not say of tensors that are all zeros."""
    names = list(zeros)
    if names:
        listed = ", ".join(names[:8]) + (", ..." if names[8:] else "")
        yield (
            f"The check had no power over {listed}: every entry is 0, so a factor that is wrong or "
            "forgotten there would not have shown. Judge a case in which they are not."
        )


def _broke(fault: Fault) -> tuple[str, str]:
    r = fault.found
    return (
        f"{r.operation} -> {r.name} is the first that is not finite ({r.detail})",
        "its inputs reach " + ", ".join(f"{n} {size:.2g}" for n, size in fault.reach.items()),
    )


def _other(side: Side) -> Side:
    return "torch" if side == "manual" else "manual"


def _numbers(j: Judgement) -> str:
    assert j.root is not None
    r = j.root.found
    if r.outcome != "wrong":
        return f"{r.outcome}: {r.detail}"
    times = f"{r.use:.3g}" if r.use < 1e9 else "over 1e9"
    at = f" at {list(r.index)}" if r.index else ""
    detail = f"; {r.detail}" if r.detail else ""
    return (
        f"which{at} is {r.came:.9g}, but its own inputs give {r.expected:.9g} "
        f"({times} times what rounding allows){detail}"
    )


def _who(j: Judgement, called: Names) -> str:
    wrong = j.wrong_sides
    who = "Both sides are wrong" if len(wrong) == 2 else f"{called[wrong[0]]} is wrong"
    if len(wrong) == 1:
        who += f", {called[_other(wrong[0])]} is right"
    if j.different_losses:
        who += "; they record different losses"
    if j.root is not None and j.root.witness is not None:
        side, other = called[j.root.side], called[_other(j.root.side)]
        seen = f", {other} has {j.root.other:.9g}" if j.root.other is not None else ""
        who += (
            f". Third witness, the exact derivative of the forward there: {j.root.witness:.9g}"
            f" ({side} has {j.root.found.came:.9g}{seen})"
        )
    return who + "."


def _why(side: str, d: Diagnosis) -> Iterator[str]:
    if d.verdict == "ambiguous":
        names = " or ".join(" + ".join(sorted(n)) for n in d.names)
        yield f"Cause ({side}), ambiguous: {names}. On this step they compute the same numbers."
    for explanation in d.alternatives[0] if d.alternatives else ():
        c = explanation.cause
        where = ", ".join(explanation.tensors[:6]) + (", ..." if explanation.tensors[6:] else "")
        label = "Cause" if not d.unexplained else "Possible cause, of a part alone"
        yield f"{label} ({side}): {c.name}, seen in {where}. {c.sentence}"
        yield f"  Right in NumPy: {c.manual}"
        yield f"  Right in torch: {c.torch}"
    if d.unexplained:
        yield (
            f"Cause ({side}) unknown: no known mistake explains {', '.join(d.unexplained[:6])}"
            + (", ..." if d.unexplained[6:] else "")
            + "."
        )
