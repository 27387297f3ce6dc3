"""A judgement in words: what is wrong first, who, why, and what to write instead."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from torch_parity.compare.causes.explanation import Diagnosis
from torch_parity.compare.judge.differences import Difference
from torch_parity.compare.judge.judge import SIDES, Fault, Judgement, Side

Names = Mapping[Side, str]
CALLED: Names = {side: side for side in SIDES}

OVERFLOW = "The numbers become larger than the type can hold."


def sentences(j: Judgement, called: Names = CALLED) -> Iterator[str]:
    """The findings of a judgement that did not pass, the most important first, under the names in
    called."""
    if not j.root:
        bad = [d for d in j.differences if d.failed]
        if apart := [d for d in bad if d.name.startswith("given ")]:
            yield (
                f"The two do not begin from the same numbers: {len(apart)} of the given tensors "
                "are not equal."
            )
            bad = apart
        if bad:
            yield f"{bad[0].name}: {bad[0].detail}."
        if more := bad[1:]:
            noun, verb = ("tensor", "differs") if len(more) == 1 else ("tensors", "differ")
            yield f"{len(more)} more {noun} {verb}: {_listed(more)}."
        yield from unjudged(j, called)
        if j.replays:
            yield _replayed(j, called)
        return
    r, side = j.root.found, called[j.root.side]
    if r.outcome == "not finite":
        yield from _not_finite(j, j.root, called)
        return
    yield f"First wrong: {side}'s {r.operation} -> {r.name}, {_numbers(j)}."
    yield _who(j, called)
    if j.last_agreeing:
        yield f"Everything computed before it is right: the last is {j.last_agreeing}."
    if j.consequences:
        yield f"Tensors that differ only as a consequence of it: {len(j.consequences)}."
    if j.foreign:
        yield f"Not judged, because this step does not compute them: {', '.join(j.foreign)}."
    for at in SIDES:
        if at in j.diagnoses:
            yield from _why(called[at], j.diagnoses[at])


def unjudged(j: Judgement, called: Names = CALLED) -> Iterator[str]:
    """The tensors that differ, by how much, and why it is not known whether that is rounding."""
    if not j.unjudged:
        return
    worst = max(j.unjudged, key=lambda d: d.relative)
    noun, verb = ("tensor", "differs") if len(j.unjudged) == 1 else ("tensors", "differ")
    yield (
        f"Not judged: {len(j.unjudged)} {noun} {verb}, by at most {worst.relative:.1e} of the "
        f"largest entry ({worst.name}): {_listed(j.unjudged)}."
    )
    details = {
        f"{called[side]}'s {r.name}: {r.detail}"
        for side in SIDES
        for r in j.replays.get(side, ())
        if r.outcome == "not judged" and any(d.name == r.name for d in j.unjudged)
    }
    yield from (f"{detail}." for detail in sorted(details)[:3])
    if not details:
        yield (
            "They are not known to be computed by the same operations, so how much of this is "
            "rounding is not known."
        )


def _listed(differences: Sequence[Difference]) -> str:
    return ", ".join(d.name for d in differences[:8]) + (", ..." if differences[8:] else "")


def _replayed(j: Judgement, called: Names) -> str:
    """How many tensors were replayed, of how many, where no replay is wrong."""
    recorded = [d for d in j.differences if not d.name.startswith("given ")]
    counts = {}
    for side in SIDES:
        names = {d.name for d in recorded if d.verdict != f"no {side}"}
        replayed = names & {r.name for r in j.replays.get(side, ()) if r.right}
        counts[side] = (len(replayed), len(names))
    if not any(done for done, _ in counts.values()):
        return "No operation could be replayed, so which side is right is not known."
    said = " and ".join(f"{n} of {of} tensors of {called[s]}" for s, (n, of) in counts.items())
    if any(done < of for done, of in counts.values()):
        return (
            f"Replayed: {said}. Each of these is right on its own inputs; the rest is not judged."
        )
    same_start = not any(d.failed and d.name.startswith("given ") for d in j.differences)
    apart = j.outcome == "FAIL" and same_start
    different = ": the two sides compute different things" if apart else ""
    return f"Replayed: {said}. Every operation is right on its own inputs{different}."


def short(j: Judgement, called: Names = CALLED) -> str:
    """One line: operation, cause, side."""
    first = next(iter(sentences(j, called)))
    causes = [
        f"{called[side]}: {' or '.join(' + '.join(sorted(n)) for n in d.names) or 'unknown cause'}"
        for side, d in j.diagnoses.items()
    ]
    return f"{first} Cause: {'; '.join(causes)}." if causes else first


def _not_finite(j: Judgement, fault: Fault, called: Names) -> Iterator[str]:
    """Either the numbers became too large for their type, usually on both sides; or one side
    computed NaN or infinity from inputs that give a finite number."""
    r, side, other = fault.found, called[fault.side], called[_other(fault.side)]
    what, reach = _broke(fault)
    alike = fault.other is not None and not math.isfinite(fault.other)
    if math.isfinite(r.expected):
        yield f"{side}'s {what}; {reach}."
        yield _who(j, called)
    elif alike:
        yield f"training diverged: {what}, on both sides; {reach}."
        yield "Both sides agree, so neither is at fault. Try a smaller lr."
    else:
        there = "recorded no such value" if fault.other is None else f"has {fault.other:.9g} there"
        yield f"training diverged: {side}'s {what}; {reach}. {other} {there}."
        yield f"{OVERFLOW} Try a smaller lr."


def lost(faults: Mapping[str, Fault]) -> Iterator[str]:
    """Copies that train on their own and are no longer finite, though the judged step, which starts
    from torch's state, is. Where the inputs give a finite number, the operation is wrong."""
    for who, fault in faults.items():
        what, reach = _broke(fault)
        yield f"{who} diverged when trained on its own: its {what}; {reach}."
        if math.isfinite(fault.found.expected):
            yield "Its own inputs give a finite number, so the operation is wrong."
        else:
            yield f"{OVERFLOW} Try a smaller lr."
    if faults:
        yield "The judged step, which starts from torch's state, is finite on both sides."


def matches(tensors: int, steps: int, replays: int) -> str:
    """What was compared, and what was replayed, in a run that passed."""
    return (
        f"{tensors} tensors x {steps} steps match; in {replays} of these steps every operation was "
        "replayed and is within its rounding bound"
    )


def no_bound(names: Iterable[str]) -> str:
    """Which tensors of a run could not be judged."""
    listed = [*names]
    return (
        f"Not judged: {', '.join(listed[:8])}{', ...' if listed[8:] else ''} differ, and what "
        "rounding may do to them is not known"
    )


def free_running(drift: float, envelope: float) -> str:
    """How far the sides drift when each trains on its own, beside what rounding alone does."""
    if not (math.isfinite(drift) and math.isfinite(envelope)):
        return (
            "At least one side, or the perturbed copy of one, diverged when trained on its own, so "
            "it is not known how far apart the sides' parameters are."
        )
    return (
        f"Trained on their own, the two sides' parameters end {drift:.1e} apart; for comparison, a "
        "copy perturbed in each step by one ulp (the gap to the next floating-point number) ends "
        f"{envelope:.1e} apart."
    )


def powerless(zeros: Iterable[str]) -> Iterator[str]:
    """What a PASS does not show about tensors that are all zeros."""
    names = list(zeros)
    if names:
        listed = ", ".join(names[:8]) + (", ..." if names[8:] else "")
        yield (
            f"The check had no power over {listed}: every entry is 0, so a wrong or missing factor "
            "would not have been noticed. Judge a case in which they are not 0."
        )


def unused(zeros: Iterable[str]) -> Iterator[str]:
    """What a PASS does not show about given tensors that are all zeros."""
    names = list(zeros)
    if names:
        listed = ", ".join(names[:8]) + (", ..." if names[8:] else "")
        are, they, them = ("are", "they are", "them") if names[1:] else ("is", "it is", "it")
        yield (
            f"{listed} {are} 0 in every entry, so nothing shows how {they} used: a wrong "
            f"factor, or a sum without {them}, would not have been noticed. Judge a case in which "
            f"{they} not 0."
        )


def unseen(mistakes: Iterable[str]) -> Iterator[str]:
    """What a PASS does not show about an update: mistakes that leave the record as it is."""
    names = list(mistakes)
    if names:
        yield (
            f"Not shown by what you handed over: {', '.join(names)}. With any of these mistakes it "
            "would be the same, up to rounding. Hand over what the optimizer remembers as well, or "
            "check several steps: check([step_1, step_2], start)."
        )


def _broke(fault: Fault) -> tuple[str, str]:
    r = fault.found
    return (
        f"{r.operation} -> {r.name} is the first that is not finite ({r.detail})",
        "the largest entries of its inputs: "
        + ", ".join(f"{n} {size:.2g}" for n, size in fault.reach.items()),
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
        f"which{at} is {r.came + 0:.9g}, but its own inputs give {r.expected + 0:.9g} "
        f"({times} times what rounding allows){detail}"
    )


def _who(j: Judgement, called: Names) -> str:
    wrong = j.wrong_sides
    who = "Both sides are wrong" if len(wrong) == 2 else f"{called[wrong[0]]} is wrong"
    if len(wrong) == 1:
        who += f", {called[_other(wrong[0])]} is right"
    if j.different_losses:
        who += "; their losses differ"
    if j.root is not None and j.root.witness is not None:
        side, other = called[j.root.side], called[_other(j.root.side)]
        seen = f", {other} has {j.root.other + 0:.9g}" if j.root.other is not None else ""
        who += (
            ". Third witness (the exact derivative of the forward formula, computed without either "
            f"backward): {j.root.witness + 0:.9g} ({side} has {j.root.found.came + 0:.9g}{seen})"
        )
    return who + "."


def _why(side: str, d: Diagnosis) -> Iterator[str]:
    if d.verdict == "ambiguous":
        names = " or ".join(" + ".join(sorted(n)) for n in d.names)
        yield f"Cause ({side}), ambiguous: {names}. In this step they give the same numbers."
    for explanation in d.alternatives[0] if d.alternatives else ():
        c = explanation.cause
        where = ", ".join(explanation.tensors[:6]) + (", ..." if explanation.tensors[6:] else "")
        label = "Cause" if not d.unexplained else "Possible cause of a part of it"
        numbers = f" {explanation.numbers}" if explanation.numbers else ""
        manual, torch = explanation.remedy
        yield f"{label} ({side}): {c.name}, seen in {where}. {c.sentence}{numbers}"
        yield f"  Right in NumPy: {manual}"
        yield f"  Right in torch: {torch}"
    if d.unexplained:
        yield (
            f"Cause ({side}) unknown: no known mistake explains {', '.join(d.unexplained[:6])}"
            + (", ..." if d.unexplained[6:] else "")
            + "."
        )
