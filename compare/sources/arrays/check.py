"""Compare your own code with torch: give the arrays that it computed, any of them, by name."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from torch_parity.compare.case import Case
from torch_parity.compare.causes.diagnosis import diagnose
from torch_parity.compare.causes.explanation import told_apart
from torch_parity.compare.causes.unshown import unshown
from torch_parity.compare.errors import InputError, shown, suggest
from torch_parity.compare.flow.trace import Tensors, Trace
from torch_parity.compare.judge.judge import Judgement, judge_traces
from torch_parity.compare.judge.replay import replay
from torch_parity.compare.judge.report import Report
from torch_parity.compare.sources.arrays.expected import INPUT_GRADIENT, Expected
from torch_parity.compare.sources.arrays.forms import (
    averaged_over_samples,
    momentum_of,
    unjudged_at_the_floor,
    with_cancelling_forms,
    with_velocity,
    without_slope_floor,
)
from torch_parity.compare.sources.arrays.layout import (
    BIASES,
    SAMPLES,
    SCALED,
    WEIGHTS,
    Layout,
    explain,
    recognise,
    require_layout,
    with_other_mean,
)
from torch_parity.compare.sources.arrays.names import Named, named
from torch_parity.compare.sources.arrays.own_numbers import OwnNumbers
from torch_parity.compare.sources.arrays.start import Given, given
from torch_parity.compare.sources.arrays.steps import in_step, of_all_steps

CALLED = ("mine", "torch")
BY_SAMPLES = (
    "the loss is divided by the number of samples, torch's also by the number of outputs    "
    "(declare it: Case(reduction='batchmean'))"
)


def check(
    mine: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    start: Case | Given,
    *,
    layout: Layout | None = None,
    ignore: Iterable[str] = (),
) -> Report:
    """Judge your own arrays of one step: replay each operation on your own inputs, and compare the
    results with torch's.

    mine maps names (z1, a1, loss, dW1, W1 after the update...; also the course's Z1, A1, cost) to
    arrays, numbers or tensors. Dicts in it are flattened, so that you can give cache, grads and
    parameters together. start is the result of `given`, or just the case. Without a layout, that of
    start is used; arrays that differ from it are recognised and reported as a convention. ignore
    takes names (or patterns) in mine that do not belong to this step. Where the report names an
    entry of an array, its index and numbers are those of your array, in your layout.

    A list of such dicts holds several steps in a row. Each is judged from what the one before it
    left: the first begins from start, and all read its x, y and masks. The tensors of the second
    are called W1@2, dz1@2... in the report. Several steps show what one cannot: a mistake in what
    the optimizer remembers, if only the weights are handed over.

    Raises:
        InputError: there is nothing to judge, or an array does not hold numbers.
    """
    if not isinstance(start, Given | Case):
        raise InputError(
            f"start is {shown(start)}; expected what given(case) returns, or the case, as  "
            "Case(data='moons')"
        )
    require_layout(layout)
    if isinstance(ignore, str):
        raise InputError(f"ignore: expected a list of names, such as [{ignore!r}]")
    at = start if isinstance(start, Given) else given(start)
    steps = [mine] if isinstance(mine, Mapping) else mine
    if not isinstance(steps, Sequence) or not all(isinstance(m, Mapping) for m in steps):
        raise InputError(f"mine is a {type(mine).__name__}, expected a dict of arrays by name")
    if not steps:
        raise InputError("mine is an empty list, expected a dict of arrays for each step")
    if len(steps) > 1 and at.case.schedule != "constant":
        raise InputError(
            f"the case has schedule {at.case.schedule}, but several steps in a row are judged with "
            "one lr: check each step by itself, from given(case, step=...)"
        )
    return _report([named(m, at, tuple(ignore)) for m in steps], at, layout)


def _report(steps: Sequence[Named], at: Given, layout: Layout | None) -> Report:
    declared = layout or at.layout
    expected = _asked_for(Expected.of(at), steps)
    first = steps[0].arrays
    if layout:
        return _judged(steps, at, expected, declared, declared)
    recognised = recognise(first, expected.torch, at.m, declared)
    ours = {n: recognised.to_ours(n, a, at.m) for n, a in first.items()}
    momentum = momentum_of(ours, expected, at.case.lr, declared)
    recognised = recognised.model_copy(update={"momentum": momentum})
    report = _judged(steps, at, expected, declared, recognised)
    other = with_other_mean(recognised, first, expected.torch, at.m)
    if other is None or report.outcome != "FAIL":
        return report
    again = _judged(steps, at, expected, declared, other)
    if again.outcome == "FAIL":
        return report
    return again if _shows_the_mean(first) else _of_either_mean(report, again, other, at.m)


def _shows_the_mean(mine: Mapping[str, np.ndarray]) -> bool:
    """Gradients, new values and optimizer state show whether their 1/m is there."""
    return any(WEIGHTS.fullmatch(n) or BIASES.fullmatch(n) for n in mine)


def _of_either_mean(report: Report, again: Report, other: Layout, m: int) -> Report:
    """dz alone does not tell whether its 1/m is elsewhere or forgotten. report is by the layout,
    again by the other one, which fits."""
    place, factor = ("in dW and db", m) if other.mean == "dW" else ("in dz already", f"1/{m}")
    detail = (
        f"right if 1/m is {place}, and wrong by the factor {factor} if not; hand over dW or db as "
        f"well, or declare it: Layout(mean={other.mean!r})"
    )
    j = again.judgement
    apart = {d.name: d for d in report.judgement.differences if SCALED.fullmatch(d.name)}
    differences = [
        replace(apart[d.name], verdict="unjudged") if d.name in apart else d for d in j.differences
    ]
    mine = [
        replace(r, outcome="not judged", detail=detail) if r.name in apart else r
        for r in j.replays["manual"]
    ]
    replays = {**j.replays, "manual": tuple(mine)}
    return replace(
        again,
        judgement=replace(j, differences=tuple(differences), replays=replays),
        conventions=report.conventions,
        hidden=(),
    )


def _judged(
    steps: Sequence[Named], at: Given, expected: Expected, declared: Layout, recognised: Layout
) -> Report:
    """The report on arrays in the recognised layout."""
    first = steps[0].arrays
    ours = [{n: recognised.to_ours(n, a, at.m) for n, a in s.arrays.items()} for s in steps]
    expected = with_velocity(expected, recognised.velocity(at.case.lr))
    by_samples = averaged_over_samples(expected, ours[0], recognised)
    expected = by_samples or expected
    wrong = _first_wrong(expected, ours)
    side, torch, trace, (cancelling, floor) = _sides(expected, ours[:wrong])
    judgement = judge_traces(side, torch, CALLED)
    if floor:
        judgement = unjudged_at_the_floor(judgement, floor)
    if wrong < len(ours):
        longer, *_ = _sides(expected, ours[: wrong + 1])
        judgement = _told_apart(judgement, longer)
    arrays, compared = [s.arrays for s in steps], (side.made, torch.made)
    judgement = OwnNumbers(arrays, recognised, at.m, compared, CALLED).of(judgement)
    conventions = (
        *at.conventions,
        *explain(recognised, declared),
        *_flat_outputs(first),
        *_named_otherwise(steps[0], expected),
        *([BY_SAMPLES] if by_samples else []),
        *([cancelling] if cancelling else []),
    )
    notes = (*_notes(side.made, trace), *_left_out(len(ours), wrong))
    return Report(
        judgement,
        CALLED,
        conventions,
        notes,
        hidden=unshown(side) if judgement.passed else (),
        unknown=tuple(_unknown(side.made, trace, at.case)),
    )


def _sides(
    expected: Expected, ours: Sequence[dict[str, np.ndarray]]
) -> tuple[Trace, Trace, Tensors, tuple[str, str]]:
    """Our side and torch's in these steps, all that torch made, the form that cancels, if one was
    used, and the tensor that does without torch's floor, if one does."""
    expected = expected.repeated(ours)
    trace, made = expected.torch, of_all_steps(ours)
    ordered = {n: made[n] for n in [*(n for n in trace if n in made), *made]}
    nodes, floor = without_slope_floor(expected.nodes, expected.start, ordered)
    nodes, cancelling = with_cancelling_forms(nodes, expected.start, ordered)
    side = Trace(expected.start, ordered, nodes)
    other = {n: trace[n] for n in trace if n in made}
    return side, Trace(expected.start, other, expected.nodes), trace, (cancelling, floor)


def _told_apart(judgement: Judgement, longer: Trace) -> Judgement:
    """Named by one step more, where two mistakes look alike in the first that is wrong."""
    found = judgement.diagnoses.get("manual")
    if found is None or found.verdict != "ambiguous":
        return judgement
    replayed = replay(longer.nodes, longer.given, longer.made, gaps=True)
    more = diagnose(longer, replayed, {}, among=set().union(*found.names))
    if more is None:
        return judgement
    return replace(judgement, diagnoses={**judgement.diagnoses, "manual": told_apart(found, more)})


def _first_wrong(expected: Expected, ours: Sequence[dict[str, np.ndarray]]) -> int:
    """The first step that is wrong, counted from 1, or the last: what follows a wrong step begins
    from its numbers, and tells nothing more."""
    if len(ours) == 1:
        return 1
    whole, made = expected.repeated(list(ours)), of_all_steps(ours)
    replayed = replay(whole.nodes, whole.start, made, gaps=True)
    wrong = {r.name for r in replayed if r.wrong}
    steps = (k for k, mine in enumerate(ours, 1) if any(in_step(n, k) in wrong for n in mine))
    return next(steps, len(ours))


def _left_out(steps: int, judged: int) -> Iterator[str]:
    if judged < steps:
        rest = ", ".join(str(k) for k in range(judged + 1, steps + 1))
        yield f"Step {judged} is wrong. What follows from it was not judged: step {rest}."


def _asked_for(expected: Expected, steps: Sequence[Named]) -> Expected:
    """With the tensors besides a step's own that are handed over."""
    names = {name for step in steps for name in step.arrays}
    if INPUT_GRADIENT in names:
        expected = expected.with_input_gradient()
    return expected.with_probabilities() if expected.probabilities in names else expected


def assert_parity(
    mine: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    start: Case | Given,
    *,
    layout: Layout | None = None,
    ignore: Iterable[str] = (),
) -> Report:
    """check, for a test suite: return the report if it passed.

    Raises:
        ParityError: (an AssertionError) something is wrong, or could not be judged; the message
            says what is wrong first, why, on which side, and what to write instead.
        InputError: see check.
    """
    __tracebackhide__ = True
    return check(mine, start, layout=layout, ignore=ignore).require(strict=True)


def _flat_outputs(mine: Mapping[str, np.ndarray]) -> Iterator[str]:
    names = [n for n, a in mine.items() if SAMPLES.fullmatch(n) and a.ndim == 1]
    if names:
        yield f"{', '.join(names)}: (m,) is taken as (m, 1): {names[0]} = yours[:, None]"


def _named_otherwise(mine: Named, expected: Expected) -> Iterator[str]:
    if mine.earlier:
        names = ", ".join(mine.earlier)
        yield (
            f"{names}: each is the gradient of the layer before, as the course's first notebook "
            "stores it: dA1 = yours['dA2']"
        )
    if expected.probabilities in mine.arrays:
        scores, applied = expected.probabilities.rsplit("_", 1)
        yield (
            f"the output is {applied}({scores}), which the case's loss applies itself: "
            f"{expected.probabilities} = yours"
        )


def _notes(mine: Mapping[str, np.ndarray], trace: Mapping[str, np.ndarray]) -> Iterator[str]:
    absent = [n for n in trace if n not in mine]
    if absent:
        shown = ", ".join(absent[:12]) + (", ..." if absent[12:] else "")
        yield (
            f"Judged {len(trace) - len(absent)} of the step's {len(trace)} tensors. You did not "
            f"give these, so they were computed from the others: {shown}."
        )


def _unknown(
    mine: Mapping[str, np.ndarray], trace: Mapping[str, np.ndarray], case: Case
) -> Iterator[str]:
    for name in mine:
        if name in trace:
            continue
        if case.update_rule != case.optimizer and name[:1] == "v" and name[1:] in trace:
            yield f"With momentum 0, torch.optim.SGD keeps no buffer: leave {name} out."
        else:
            yield f"No tensor of this step is called {name}: {suggest(name, trace)}"
