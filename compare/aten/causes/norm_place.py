"""A normalization on one side only, or in another place."""

from collections.abc import Iterator

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.norm_forms import quantities
from torch_parity.compare.aten.causes.norm_weight import uses, weight_of
from torch_parity.compare.aten.causes.normalized import floats_of, settings
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.causes.side import Side
from torch_parity.compare.aten.naming import where
from torch_parity.compare.aten.record import Call


@cause("norm_before_or_after", "a normalization before the layer, or after the sum")
def norm_before_or_after(case: Case) -> Iterator[str]:
    """x + f(norm(x)) against norm(x + f(x))"""
    for one, other, call in _unnormalized(case):
        weight = weight_of(other, call)
        if weight is not None and uses(one, weight) >= uses(other, weight):
            yield (
                f"{other.called} normalizes before {call.module or 'the layer'} "
                f"({where(call)}), {one.called} reads the same numbers as they are there, and "
                "normalizes elsewhere: pre-norm against post-norm."
            )


@cause("norm_missing", "a normalization on one side only", general=1)
def norm_missing(case: Case) -> Iterator[str]:
    """norm(x) against x"""
    for one, other, call in _unnormalized(case):
        weight = weight_of(other, call)
        if weight is None or uses(one, weight) < uses(other, weight):
            yield (
                f"{other.called} normalizes ({where(call)}), and {one.called} reads the same "
                "numbers as they are."
            )


def _unnormalized(case: Case) -> Iterator[tuple[Side, Side, Call]]:
    """(one, other, call): one reads what other's call normalizes."""
    if case.phase != "forward":
        return
    eps = floats_of(case, 0.0, 0.05)[:4]
    for swap in case.swaps:
        for v, y, one, other in swap.both_ways:
            x = v.tensor
            if not v.common or y.common or x.dim() < 2:
                continue
            for s in settings(case):
                if not numbers.fits_somehow(s.x, x):
                    continue
                for quantity, _, tensor in quantities(s, eps):
                    if quantity == "output" and numbers.fits_somehow(tensor, y.tensor):
                        yield one, other, y.call
                        break
