"""Gradients added to those of an earlier step."""

from collections.abc import Iterator

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed, fits_somehow
from torch_parity.compare.aten.causes.registry import ALL, cause


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
