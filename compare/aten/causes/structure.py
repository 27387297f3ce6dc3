"""What the first swap shows: a factor, a missing term, other parameters, a cast."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed, fits, fits_somehow
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.causes.side import Made, Side
from torch_parity.compare.aten.memory import digits
from torch_parity.compare.aten.record import Call
from torch_parity.compare.aten.reports import where
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.bounds.tensors import BoundedTensor
from torch_parity.compare.tensors import to_numpy
from torch_parity.compare.torch_private import flattened

ALL = ("forward", "backward", "update")
MOST_UNCAST = 24  # tensors that are computed without a cast


def relations(case: Case) -> Iterator[tuple[Side, Made, BoundedTensor, Side, Made]]:
    """(one, v, y, other, made): one has v where other has y, in v's shape."""
    for swap in case.swaps:
        yield swap.one, swap.v, swap.y_tensor, swap.other, swap.y
    if case.end is not None:
        of_a, of_b = case.end
        yield case.b, of_b, of_a.tensor, case.a, of_a


def factors(case: Case) -> list[tuple[Side, Made, Side, Made, tuple[float, float]]]:
    """The relations that are constant factors: y = c v."""
    if "factors" not in case.found:
        found = []
        for one, v, y, other, made in relations(case):
            interval = numbers.factor(y, v.tensor)
            if interval is not None and abs(numbers.middle(interval) - 1) > numbers.SHARP:
                found.append((one, v, other, made, interval))
        case.found["factors"] = found
    return case.found["factors"]


@cause("wrong_sign", "the same numbers with the other sign", ALL, general=1)
def wrong_sign(case: Case) -> Iterator[str]:
    """v = -y"""
    for one, v, other, made, interval in factors(case):
        if numbers.named_factor(interval, [("-", -1.0)]):
            yield (
                f"{one.called} has {other.called}'s numbers times -1 ({where(place(v, made))}): "
                f"the sign of {one.names.of(v.ref)} is the other one."
            )


@cause("wrong_sign", "a term with the other sign", ALL, general=1)
def wrong_sign_of_a_term(case: Case) -> Iterator[str]:
    """v = s - t against y = s + t"""
    for one, v, y, other, made in relations(case):
        half = [
            computed(lambda v=v, y=y: (y + v.tensor) / 2),  # type: ignore[misc]
            computed(lambda v=v, y=y: (y - v.tensor) / 2),  # type: ignore[misc]
        ]
        if (
            half[0] is None
            or half[1] is None
            or not all(numbers.is_sharp(h) for h in half if h is not None)
        ):
            continue
        reads = [m for m in one.common if m.ref in v.call.inputs]
        parts = [
            _read_as(reads, half[0], 1),
            _read_as(reads, half[1], 1),
            _read_as(reads, half[1], -1),
        ]
        term = parts[1] or parts[2]
        if parts[0] is not None and term is not None and v.call.operation in ("add", "sub", "rsub"):
            yield (
                f"{one.called} takes {one.names.of(term.ref)} with the other sign than "
                f"{other.called} ({where(place(v, made))})."
            )


def _read_as(reads: list[Made], tensor: BoundedTensor, sign: int) -> Made | None:
    for m in reads:
        same = numbers.reshaped(m.tensor, tuple(tensor.shape))
        signed = same if sign == 1 or same is None else computed(lambda s=same: -s)  # type: ignore[misc]
        if signed is not None and fits(signed, tensor):
            return m
    return None


@cause("output_scaled", "the same numbers times a constant", general=2)
def output_scaled(case: Case) -> Iterator[str]:
    """v = y / c, forward."""
    for one, v, other, made, interval in factors(case):
        if v.tensor.numel() > 1:
            yield (
                f"{one.names.of(v.ref)} of {one.called} is "
                f"{1 / numbers.middle(interval):.9g} times what {other.called} has "
                f"({where(place(v, made))})."
            )


@cause("gradient_scaled", "a gradient times a constant", ("backward",), general=2)
def gradient_scaled(case: Case) -> Iterator[str]:
    """v = y / c, backward."""
    for one, v, other, made, interval in factors(case):
        if v.tensor.numel() > 1:
            yield (
                f"The gradient {one.names.of(v.ref)} of {one.called} is "
                f"{1 / numbers.middle(interval):.9g} times what {other.called} has "
                f"({where(place(v, made))})."
            )


def place(v: Made, y: Made) -> Call:
    """The call to look at: the one that makes the tensor."""
    return (v if not v.common or y.common else y).call


@dataclass(frozen=True)
class Term:
    """`has` adds a term that `lacks` leaves out (times = 1), or adds once more (times = 2)."""

    lacks: Side
    has: Side
    term: Made
    with_it: Made
    without: Made


def terms(case: Case) -> list[Term]:
    """Relations that are sums: y = v + t."""
    if "terms" not in case.found:
        case.found["terms"] = list(_terms(case))
    return case.found["terms"]


def _terms(case: Case) -> Iterator[Term]:
    for one, v, y, other, made in relations(case):
        gap = computed(lambda v=v, y=y: y - v.tensor)  # type: ignore[misc]
        if gap is None or not numbers.is_sharp(gap):
            continue
        for sign, lacks, has, with_it, without in (
            (1, one, other, made, v),
            (-1, other, one, v, made),
        ):
            signed = gap if sign == 1 else numbers.negated(gap)
            if signed is None:
                continue
            for side in (has, lacks):
                for t in (*side.common, *side.made):
                    if t.ref.place not in (with_it.ref.place,) and _term_fits(t.tensor, signed):
                        yield Term(lacks, has, t, with_it, without)


def _term_fits(t: BoundedTensor, gap: BoundedTensor) -> bool:
    """As it is, or repeated over the leading dimensions."""
    if t.numel() == gap.numel():
        same = numbers.reshaped(t, tuple(gap.shape))
        return same is not None and fits(same, gap)
    if t.dim() == 1 and t.numel() > 1 and gap.dim() > 1:
        for dim in {gap.dim() - 1, 1}:
            if gap.shape[dim] == t.numel():
                shape = [1] * gap.dim()
                shape[dim] = -1
                wide = computed(lambda shape=shape: t.reshape(shape).expand(gap.shape))  # type: ignore[misc]
                if wide is not None and fits(wide, gap):
                    return True
    return t.dim() == 1 and gap.dim() == 2 and _part_fits(t, gap)


def _part_fits(t: BoundedTensor, gap: BoundedTensor) -> bool:
    """A part of a vector (the bias of one gate), repeated over the rows."""
    size = int(gap.shape[1])
    if t.numel() <= size or t.numel() % size:
        return False
    parts = (t[i : i + size].expand(gap.shape) for i in range(0, t.numel(), size))
    return any((wide := numbers.bounded(p)) is not None and fits(wide, gap) for p in parts)


def _doubled(t: Term) -> bool:
    """The side without the extra term adds it as well: its sum reads the term."""
    call = t.lacks.maker(t.without.ref)
    if call is None or call.operation not in ("add", "sub", "addmm", "baddbmm"):
        return False
    added = call.inputs if call.operation in ("add", "sub") else call.inputs[:1]
    return any((x := t.lacks.number(r)) is not None and _term_fits(x, _wide(t)) for r in added)


def _is_residual(t: Term) -> bool:
    """Both have the term, and what it is added to was computed from it; x + x is 2 x, and no
    residual connection."""
    if _term_fits(t.term.tensor, t.without.tensor):
        return False
    holder = t.lacks if any(m is t.term for m in t.lacks.common) else t.has
    if not t.term.common or holder.given_name(t.term.ref):
        return t.term.common and holder.given_name(t.term.ref).startswith("input")
    for side, sum_ in ((t.lacks, t.without), (t.has, t.with_it)):
        if side is holder:
            return side.comes_through(sum_.ref, t.term.ref.place)
    return False


def _wide(t: Term) -> BoundedTensor:
    gap = computed(lambda: t.with_it.tensor.reshape(t.without.tensor.shape) - t.without.tensor)
    assert gap is not None
    return gap


def _is_parameter(side: Side, ref: "object") -> bool:
    return bool(side.given_name(ref)) and not side.given_name(ref).startswith("input")  # type: ignore[arg-type]


@cause("residual_missing", "a residual connection on one side only", general=1)
def residual_missing(case: Case) -> Iterator[str]:
    """x + f(x) against f(x)"""
    for t in terms(case):
        if t.term.tensor.dim() > 1 and not _doubled(t) and _is_residual(t):
            if any(_is_parameter(s, t.term.ref) for s in (t.lacks, t.has)):
                continue
            yield (
                f"{t.has.called} adds {t.has.names.of(t.term.ref)} "
                f"({where(t.with_it.call)}), {t.lacks.called} does not: the residual connection is "
                f"missing in {t.lacks.called}."
            )


@cause("residual_doubled", "a residual connection that is added twice", general=1)
def residual_doubled(case: Case) -> Iterator[str]:
    """x + x + f(x) against x + f(x)"""
    for t in terms(case):
        if t.term.tensor.dim() > 1 and _doubled(t) and _is_residual(t):
            if any(_is_parameter(s, t.term.ref) for s in (t.lacks, t.has)):
                continue
            yield (
                f"{t.has.called} adds {t.has.names.of(t.term.ref)} twice "
                f"({where(t.with_it.call)}), {t.lacks.called} once."
            )


@cause("bias_missing", "a bias on one side only", general=1)
def bias_missing(case: Case) -> Iterator[str]:
    """x W + b against x W"""
    for t in _biases(case):
        if not _doubled(t) and not _recurrent(t):
            yield (
                f"{t.has.called} adds {_bias_name(t)} ({where(t.with_it.call)}), {t.lacks.called} "
                "does not."
            )


@cause("bias_doubled", "a bias that is added twice", general=1)
def bias_doubled(case: Case) -> Iterator[str]:
    """x W + 2 b against x W + b"""
    for t in _biases(case):
        if _doubled(t):
            yield (
                f"{t.has.called} adds {_bias_name(t)} twice ({where(t.with_it.call)}), "
                f"{t.lacks.called} once."
            )


@cause("two_biases", "one of the two biases of a recurrent layer is left out", general=1)
def two_biases(case: Case) -> Iterator[str]:
    """x W + b + h U + c against x W + b + h U"""
    for t in _biases(case):
        if not _doubled(t) and _recurrent(t):
            yield (
                f"{t.has.called} adds {_bias_name(t)} as well ({where(t.with_it.call)}), "
                f"{t.lacks.called} has one bias of the two."
            )


def _biases(case: Case) -> Iterator[Term]:
    for t in terms(case):
        named = any(_is_parameter(s, t.term.ref) for s in (t.lacks, t.has))
        if t.term.tensor.dim() == 1 and named:
            yield t


def _bias_name(t: Term) -> str:
    return t.has.given_name(t.term.ref) or t.lacks.given_name(t.term.ref)


def _recurrent(t: Term) -> bool:
    """Its sum goes on to gates: a sigmoid and a tanh of parts of it."""
    size = t.term.tensor.numel()
    for side in (t.lacks, t.has):
        at = t.without if side is t.lacks else t.with_it
        reached, gates = {at.ref.place}, set()
        for call in side.record.calls[at.call.index :][:12]:
            if any(r.place in reached for r in call.inputs) or call.index == at.call.index:
                if call.operation in ("sigmoid", "tanh") and call.outputs[0].shape[-1] < size:
                    gates.add(call.operation)
                reached |= {r.place for r in call.outputs}
        if gates:
            return True
    return False


@cause("stale_gradients", "gradients added to those of an earlier step", ALL)
def stale_gradients(case: Case) -> Iterator[str]:
    """zero_grad() forgotten"""
    if case.end is None or not case.parting.end.end.name.endswith(".grad"):
        return
    of_a, of_b = case.end
    for side, with_it, without in ((case.b, of_b, of_a), (case.a, of_a, of_b)):
        gap = computed(lambda w=with_it, o=without: w.tensor - o.tensor)  # type: ignore[misc]
        for name, ref in side.record.given.items():
            if not name.endswith(".grad before") or gap is None:
                continue
            before = side.number(ref)
            if before is not None and numbers.is_sharp(gap) and fits_somehow(before, gap):
                yield (
                    f"{side.called} had a gradient before the step ({name.removesuffix(' before')})"
                    f", and backward adds to it: {side.called}.zero_grad() first."
                )


@cause("lower_precision", "numbers cast to a lower precision on one side", ALL)
def lower_precision(case: Case) -> Iterator[str]:
    """.float(), .bfloat16(), autocast"""
    for one, other in case.both_ways:
        casts = [m for m in one.made if _lowers(m.call)]
        if casts and _meets_uncast(one, other, casts):
            first = casts[0]
            source = first.call.inputs[-1]
            name = str(first.ref.dtype).removeprefix("torch.")
            yield (
                f"{one.called} casts {one.names.of(source)} to {name} ({where(first.call)}), "
                f"{other.called} keeps {str(source.dtype).removeprefix('torch.')}."
            )


def _lowers(call: Call) -> bool:
    if call.operation not in ("_to_copy", "copy") or not call.inputs:
        return False
    return digits(call.outputs[0].dtype) < digits(call.inputs[-1].dtype) < 99


def _meets_uncast(one: Side, other: Side, casts: list[Made]) -> bool:
    """The calls that read the cast tensors, computed with the tensors before the casts."""
    values: dict[Any, Any] = {}
    for call in one.calls:
        if any(call is m.call for m in casts):
            source = call.inputs[-1]
            x = values[source.place] if source.place in values else one.number(source)
            if x is None:
                return False
            values[call.outputs[0].place] = x
            continue
        if not any(r.place in values for r in call.inputs):
            continue
        swapped = {}
        for r in (r for r in call.inputs if r.place in values):
            swapped[r] = as_viewed(values[r.place], r, one.record)
            if swapped[r] is None:
                return False
        for out, tensor in zip(call.outputs, one.uncast(call, swapped), strict=False):
            if other.find(tensor) is not None:
                return True
            values[out.place] = tensor
        if len(values) > MOST_UNCAST:
            return False
    return False


def as_viewed(whole: BoundedTensor, ref: TensorRef, record: Any) -> BoundedTensor | None:
    """A tensor in the way that a call reads its memory: transposed, or in another shape."""
    if tuple(whole.shape) == ref.shape and (len(ref.shape) < 2 or ref.stride[-1] == 1):
        return whole
    if len(ref.shape) == 2 and whole.dim() == 2 and ref.stride[0] == 1 and ref.stride[1] > 1:
        return computed(lambda: whole.transpose(0, 1))
    return numbers.reshaped(whole, ref.shape)


@cause("layers_swapped", "the weights of one layer used in the place of another's")
def layers_swapped(case: Case) -> Iterator[str]:
    """b's call reads other parameters than a's call of the same kind, on the same input."""
    for c, d, pairs in same_calls(case):
        names = [(case.b.given_name(r), case.a.given_name(s)) for r, s in pairs]
        if not all(n and m for n, m in names) or any(_turned(case, r, s) for r, s in pairs):
            continue
        places = [_elsewhere(case, r) for r, _ in pairs]
        if not all(places) or all(p == m for p, (_, m) in zip(places, names, strict=True)):
            continue
        yield (
            f"{case.b.called} uses {', '.join(n for n, _ in names)} ({where(c)}), which has the "
            f"numbers of {', '.join(places)} of {case.a.called}; {case.a.called} uses "
            f"{', '.join(m for _, m in names)} there ({where(d)})."
        )


@cause("given_differs", "weights that were not copied", ALL)
def given_differs(case: Case) -> Iterator[str]:
    """The same call with another model's numbers."""
    for c, _, pairs in same_calls(case):
        if not pairs:
            continue
        names = [(case.b.given_name(r), case.a.given_name(s)) for r, s in pairs]
        if not all(n and m for n, m in names):
            continue
        lost = [n for (r, _), (n, _) in zip(pairs, names, strict=True) if not _elsewhere(case, r)]
        if lost and not any(_turned(case, r, s) for r, s in pairs):
            yield (
                f"{', '.join(lost)} of {case.b.called} is not "
                f"{', '.join(m for _, m in names)} of {case.a.called} ({where(c)}): the numbers "
                f"were not copied."
            )


def _elsewhere(case: Case, ref: TensorRef) -> str:
    """The name that a has these given numbers under; "" if it has not."""
    whole = case.b.record.given.get(case.b.given_name(ref))
    if whole is None:
        return ""
    array = to_numpy(case.b.record.value(whole))
    return next(
        (
            name
            for name, r in case.a.record.given.items()
            if r.shape == whole.shape and np.array_equal(to_numpy(case.a.record.value(r)), array)
        ),
        "",
    )


def _turned(case: Case, of_b: TensorRef, of_a: TensorRef) -> bool:
    """The same numbers in another order."""
    x, y = case.b.number(of_b), case.a.number(of_a)
    if x is None or y is None:
        return False
    first, second = (np.sort(numbers.value_of(t), axis=None) for t in (x, y))
    return np.array_equal(first, second)


@cause("weight_transposed", "a weight that is used, or was loaded, as (in, out)")
def weight_transposed(case: Case) -> Iterator[str]:
    """x W against x W.T, of a square W"""
    for one, other in case.both_ways:
        for call in one.calls:
            if call.operation not in ("mm", "addmm", "bmm", "linear"):
                continue
            refs = [r for r in call.inputs if len(r.shape) >= 2 and one.given_name(r)]
            for ref in refs:
                w = one.number(ref)
                if w is None or w.shape[-1] != w.shape[-2]:
                    continue
                turned = computed(lambda w=w: w.transpose(-1, -2).contiguous())  # type: ignore[misc]
                if turned is None or fits(turned, w):
                    continue
                made = one.again(call, {ref: turned})
                if made and other.find(made[0]) is not None:
                    yield (
                        f"{one.called} multiplies by {one.given_name(ref)} transposed "
                        f"({where(call)}), compared with {other.called}: F.linear(x, W) is x W.T, "
                        "and a weight is (out, in)."
                    )


def same_calls(
    case: Case,
) -> Iterator[tuple[Call, Call, list[tuple[TensorRef, TensorRef]]]]:
    """Calls of b and a of the same kind that differ in some tensors that were given: with a's, b's
    makes what a's makes."""
    for c in case.b.calls[:8]:
        for d in case.a.calls[:8]:
            if c.overload is not d.overload or len(c.inputs) != len(d.inputs):
                continue
            rest = [
                [x for x in flattened((k.args, dict(k.kwargs))) if not isinstance(x, TensorRef)]
                for k in (c, d)
            ]
            if rest[0] != rest[1]:
                continue
            pairs, alike = [], True
            for r, s in zip(c.inputs, d.inputs, strict=True):
                x, y = case.b.number(r), case.a.number(s)
                if x is None or y is None or tuple(x.shape) != tuple(y.shape):
                    alike = alike and x is None and y is None
                elif not fits(x, y):
                    pairs.append((r, s))
            if not alike or len(pairs) == len(c.inputs) or not pairs:
                continue
            own = next((m.tensor for m in case.b.made if m.call is c), None)
            if own is None or case.a.find(own) is not None:
                continue
            swapped = {r: case.a.number(s) for r, s in pairs}
            made = case.b.again(c, swapped)
            if made and case.a.find(made[0]) is not None:
                yield c, d, pairs
