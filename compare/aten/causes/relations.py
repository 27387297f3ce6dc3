"""How a tensor of one side is related to the one that the other side has in its place."""

from collections.abc import Iterator

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.side import Made, Side
from torch_parity.compare.aten.record import Call
from torch_parity.compare.bounds.tensors import BoundedTensor

CLEAR = 100.0


def relations(case: Case) -> Iterator[tuple[Side, Made, BoundedTensor, Side, Made]]:
    """(one, v, y, other, made): one has v where other has y, in v's shape."""
    for swap in case.swaps:
        yield swap.one, swap.v, swap.y_tensor, swap.other, swap.y
    if case.end is not None:
        of_a, of_b = case.end
        yield case.b, of_b, of_a.tensor, case.a, of_a


def factors(case: Case) -> list[tuple[Side, Made, Side, Made, tuple[float, float]]]:
    """The relations that are constant factors: y = c v. A factor next to 1 has to be known well
    enough to tell it from rounding."""
    if "factors" not in case.found:
        found = []
        for one, v, y, other, made in relations(case):
            interval = numbers.factor(y, v.tensor)
            if interval is not None and is_clear(interval):
                found.append((one, v, other, made, interval))
        case.found["factors"] = found
    return case.found["factors"]


def is_clear(interval: tuple[float, float]) -> bool:
    """The factor is not 1, by far more than it is uncertain."""
    width = interval[1] - interval[0]
    return abs(numbers.middle(interval) - 1) > max(numbers.SHARP, CLEAR * width)


def place(v: Made, y: Made) -> Call:
    """The call to look at: the one that makes the tensor."""
    return (v if not v.common or y.common else y).call
