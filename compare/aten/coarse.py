"""Results that may agree only because something rounds more coarsely than float64.

Two models are compared in float64, where rounding hides no mistake. Some steps round to a lower
precision all the same: they write into float32 memory, or run in bfloat16 (autocast), or do not run
in float64 at all. Where both models make the same call of the same numbers there, nothing is
hidden. Where only one of them makes it, the bound allows for as much as that rounding, and a
mistake of that size would pass.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch

from torch_parity.compare.aten.alignment import Alignment
from torch_parity.compare.aten.draws import RANDOM
from torch_parity.compare.aten.factories import SHAPED
from torch_parity.compare.aten.lowered import rounds
from torch_parity.compare.aten.memory import Place, digits
from torch_parity.compare.aten.naming import where
from torch_parity.compare.aten.record import Call, Record
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.aten.writers import is_view
from torch_parity.compare.torch_private import mapped

# What sums in float64 may round, in units of the largest entry.
OF_FLOAT64 = 2.0**-40


def unjudged_by_rounding(alignment: Alignment, called: tuple[str, str]) -> None:
    """Results that are right, but computed from such a rounding of one model alone, are not
    judged."""
    a, b = alignment.a, alignment.b
    lower = [{call.index: call for call in _lower(record)} for record in (a, b)]
    if not any(lower):
        return
    alone = _alone(a, b, lower[0], lower[1]), _alone(b, a, lower[1], lower[0])
    hidden_a, hidden_b = computed_from(a, alone[0]), computed_from(b, alone[1])
    for i, verdict in enumerate(alignment.ends):
        end = verdict.end
        places = end.ref.place, end.a_ref.place if end.a_ref is not None else None
        found = hidden_b.get(places[0]), hidden_a.get(places[1]) if places[1] else None
        if verdict.outcome == "right" and any(found):
            name, call = (called[1], found[0]) if found[0] else (called[0], found[1])
            assert call is not None
            alignment.ends[i] = replace(verdict, outcome="unjudged", reason=_reason(name, call))


def _reason(called: str, call: Call) -> str:
    kind = str(min((r.dtype for r in call.outputs), key=digits)).removeprefix("torch.")
    return (
        f"{called} rounds to {kind} in {call.operation} ({where(call)}), which the other "
        "side does not do with the same numbers; this may hide a difference"
    )


def _lower(record: Record) -> Iterator[Call]:
    """The calls that compute in a lower precision than float64 what the step was given."""
    low = {r.place for r in record.given.values() if digits(r.dtype) < digits(torch.float64)}
    for call in record.calls:
        numbers = [r for r in call.outputs if not _counts_steps(record, call, r)]
        made = min((digits(r.dtype) for r in numbers), default=99)
        if made >= digits(torch.float64) or call.operation in SHAPED:
            continue
        if call.operation in RANDOM:  # what is computed from them has no more digits
            low |= {r.place for r in numbers}
            continue
        if any(r.place in low for r in call.inputs) or rounds(record, call):
            low |= {r.place for r in call.outputs}
            if not is_view(call):
                yield call


def _counts_steps(record: Record, call: Call, ref: TensorRef) -> bool:
    """An optimizer's count of its steps, which is float32 in any precision and loses no digit."""
    if call.phase != "update" or ref.unjudged or ref.dtype != torch.float32:
        return False
    if math.prod(ref.shape) != 1:
        return False
    count = float(record.value(ref))
    return abs(count) < 2**24 and count.is_integer()


def _alone(
    one: Record, other: Record, calls: Mapping[int, Call], others: Mapping[int, Call]
) -> set[int]:
    """The calls of one, by index, that the other does not make of the same numbers."""
    known: dict[str, list[Call]] = defaultdict(list)
    for call in others.values():
        known[_written(call)].append(call)
    return {
        index
        for index, call in calls.items()
        if not any(_same_numbers(one, call, other, like) for like in known[_written(call)])
    }


def made_alike(one: Record, other: Record, calls: Sequence[Call]) -> bool:
    """Whether the other makes each of these calls too, of the same numbers."""
    of_both = ({call.index: call for call in found} for found in (calls, other.calls))
    return not _alone(one, other, *of_both)


def _written(call: Call) -> str:
    """The call with the shapes of its tensors."""
    shapes = mapped(lambda x: x.shape if isinstance(x, TensorRef) else x, (call.args, call.kwargs))
    return f"{call.overload}{shapes}"


def _same_numbers(one: Record, call: Call, other: Record, like: Call) -> bool:
    return all(
        not (r.unjudged or s.unjudged) and agree(one.value(r), other.value(s))
        for r, s in zip(call.inputs, like.inputs, strict=True)
    )


def agree(x: torch.Tensor, y: torch.Tensor) -> bool:
    """The same numbers, up to what float64 may round; of any other type bit by bit."""
    if x.shape != y.shape:
        return False
    if x.dtype != y.dtype or x.dtype != torch.float64:
        return x.dtype == y.dtype and torch.equal(x, y)
    largest = x.nan_to_num(0.0, 0.0, 0.0).abs().max() if x.numel() else 0.0
    near = (x - y).abs() <= OF_FLOAT64 * largest
    return bool((near | (x == y) | (x.isnan() & y.isnan())).all())


def computed_from(record: Record, calls: set[int]) -> dict[Place, Call]:
    """The memory that these calls have a part in, with the first of them."""
    found: dict[Place, Call] = {}
    for call in record.calls:
        read = [r.place for r in call.inputs]
        read += [(storage, version - 1) for storage, version in (r.place for r in call.outputs)]
        first = next((found[place] for place in read if place in found), None)
        first = first or (call if call.index in calls else None)
        if first is not None:
            for ref in call.outputs:
                found.setdefault(ref.place, first)
    return found
