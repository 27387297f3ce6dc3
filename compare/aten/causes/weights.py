"""Weights of another layer, not copied, or transposed."""

from collections.abc import Iterator

import numpy as np

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed, fits
from torch_parity.compare.aten.causes.registry import ALL, cause
from torch_parity.compare.aten.naming import where
from torch_parity.compare.aten.record import Call
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.tensors import to_numpy
from torch_parity.compare.torch_private import flattened


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
