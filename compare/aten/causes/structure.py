"""What the first swap shows: a factor, a missing term, another order of the numbers, a cast."""

import math
from collections.abc import Iterator

import numpy as np

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case, Made, Side, Swap
from torch_parity.compare.aten.causes.numbers import computed, fits
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.reports import where
from torch_parity.compare.bounds.tensors import BoundedTensor


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
            if interval is not None:
                found.append((one, v, other, made, interval))
        case.found["factors"] = found
    return case.found["factors"]


@cause("wrong_sign", "the same numbers with the other sign", general=1)
def wrong_sign(case: Case) -> Iterator[str]:
    """v = -y"""
    for one, v, other, made, interval in factors(case):
        if v.tensor.numel() > 1 and numbers.named_factor(interval, [("-", -1.0)]):
            yield (
                f"{one.called} has {other.called}'s numbers times -1 ({where(place(v, made))}): "
                f"the sign of {one.names.of(v.ref)} is the other one."
            )


@cause("output_scaled", "the same numbers times a constant", general=2)
def output_scaled(case: Case) -> Iterator[str]:
    """v = y / c, forward."""
    if case.phase != "forward":
        return
    for one, v, other, made, interval in factors(case):
        if v.tensor.numel() > 1:
            yield (
                f"{one.names.of(v.ref)} of {one.called} is {1 / numbers.middle(interval):.9g} times "
                f"what {other.called} has ({where(place(v, made))})."
            )


@cause("gradient_scaled", "a gradient times a constant", general=2)
def gradient_scaled(case: Case) -> Iterator[str]:
    """v = y / c, backward."""
    if case.phase != "backward":
        return
    for one, v, other, made, interval in factors(case):
        if v.tensor.numel() > 1:
            yield (
                f"The gradient {one.names.of(v.ref)} of {one.called} is "
                f"{1 / numbers.middle(interval):.9g} times what {other.called} has "
                f"({where(place(v, made))})."
            )


def place(v: Made, y: Made) -> "object":
    """The call to look at: the one that makes the tensor."""
    return (v if not v.common or y.common else y).call


__all__ = ["Swap", "computed", "factors", "fits", "math", "np", "place", "relations"]
