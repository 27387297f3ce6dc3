"""A model that trains, and one that evaluates: norms and dropout."""

from collections.abc import Iterator

import numpy as np

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.norm_forms import differing
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.causes.side import Made, Side
from torch_parity.compare.aten.naming import where
from torch_parity.compare.bounds.tensors import BoundedTensor
from torch_parity.compare.tensors import to_numpy


@cause("train_eval_mode", "a norm or a dropout trains on one side and evaluates on the other")
def train_eval_mode(case: Case) -> Iterator[str]:
    """Statistics of the batch against running statistics; dropped units against all units."""
    for of_a, of_b in differing(case, "kind"):
        kinds = {of_a.form.kind, of_b.form.kind}
        if kinds == {"mean", "running"}:
            trains, not_ = (case.b, case.a) if of_b.form.kind == "mean" else (case.a, case.b)
            yield (
                f"{trains.called} normalizes by the statistics of the batch, {not_.called} by the "
                f"running ones ({where(of_b.made.call)}): {trains.called} trains and {not_.called} "
                "evaluates."
            )
    for swap in case.swaps:
        for kept, dropped, one, other in swap.both_ways:
            p = dropped_with(kept.tensor, dropped.tensor)
            draws = other.comes_from(dropped.ref, {"native_dropout", "bernoulli"})
            if p is not None and draws is not None and not _masks(one, kept, dropped):
                yield (
                    f"{other.called} drops out with p={p:.6g} ({where(dropped.call)}), and "
                    f"{one.called} drops nothing there: it evaluates, or has no dropout there."
                )


def _masks(side: Side, kept: Made, dropped: Made) -> bool:
    """Whether the side reads a mask that is 0 wherever units were dropped."""
    value, other = numbers.value_of(kept.tensor), numbers.value_of(dropped.tensor)
    if value.shape != other.shape:
        return False
    out = other[value != 0] == 0
    read = (r for call in side.calls for r in call.inputs if r.shape == value.shape)
    masks = (to_numpy(side.record.value(r)) for r in read if not r.unjudged)
    return any(np.array_equal(mask[value != 0] == 0, out) for mask in masks)


def dropped_with(kept: BoundedTensor, dropped: BoundedTensor) -> float | None:
    """p, if some entries are 0 and the others are divided by 1 - p."""
    dropped_ = numbers.reshaped(dropped, tuple(kept.shape))
    if dropped_ is None:
        return None
    value = numbers.value_of(dropped_)
    out = value == 0
    if not out.any() or (numbers.value_of(kept)[out] == 0).all() or (~out).sum() < 2:
        return None
    found = numbers.factor_at(dropped_, kept, ~out)
    return None if found is None or found <= 1 else 1 - 1 / found
