"""Sums in which one side leaves a term out, or adds it twice."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed, fits
from torch_parity.compare.aten.causes.relations import relations
from torch_parity.compare.aten.causes.side import Made, Side
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.bounds.tensors import BoundedTensor


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
                    if t.ref.place not in (with_it.ref.place,) and term_fits(t.tensor, signed):
                        yield Term(lacks, has, t, with_it, without)


def term_fits(t: BoundedTensor, gap: BoundedTensor) -> bool:
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


def is_doubled(t: Term) -> bool:
    """The side without the extra term adds it as well: its sum reads the term."""
    call = t.lacks.maker(t.without.ref)
    if call is None or call.operation not in ("add", "sub", "addmm", "baddbmm"):
        return False
    added = call.inputs if call.operation in ("add", "sub") else call.inputs[:1]
    return any((x := t.lacks.number(r)) is not None and term_fits(x, _wide(t)) for r in added)


def is_weighted(t: Term) -> bool:
    """The side without the extra term multiplies just this term by a parameter, as x w for
    x (1 + w)."""
    call = t.lacks.maker(t.without.ref)
    if call is None or call.operation != "mul":
        return False
    weights = [is_parameter(t.lacks, r) for r in call.inputs]
    others = (t.lacks.number(r) for r, w in zip(call.inputs, weights, strict=True) if not w)
    return any(weights) and any(x is not None and term_fits(x, _wide(t)) for x in others)


def _wide(t: Term) -> BoundedTensor:
    gap = computed(lambda: t.with_it.tensor.reshape(t.without.tensor.shape) - t.without.tensor)
    assert gap is not None
    return gap


def is_parameter(side: Side, ref: TensorRef) -> bool:
    """It was given, and not as an input."""
    name = side.given_name(ref)
    return bool(name) and not name.startswith("input")
