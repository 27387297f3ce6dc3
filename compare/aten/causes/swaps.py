"""One model's tensor in the place of the other's, and where the two come together again."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.numbers import fits, fits_somehow
from torch_parity.compare.aten.causes.side import Made, Side
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.bounds.tensors import BoundedTensor

MOST_SWAPPED = 14  # calls whose outputs and inputs are swapped
MOST_TRIED = 150  # swaps


@dataclass(frozen=True)
class Swap:
    """`one` has v where `other` has y: with y in the place of v, one makes a tensor of other, and
    another one after it if there is one."""

    one: Side
    v: Made
    other: Side
    y: Made
    y_tensor: BoundedTensor  # in v's shape

    @property
    def both_ways(self) -> tuple[tuple[Made, Made, Side, Side], tuple[Made, Made, Side, Side]]:
        """(v, y, one, other), and the other way round."""
        return (self.v, self.y, self.one, self.other), (self.y, self.v, self.other, self.one)


def swaps_of(one: Side, other: Side) -> list[Swap]:
    """The first swaps that bring the two together: one reads or makes v, the other y."""
    candidates = list(_in_order(other))
    left = MOST_TRIED
    for v in _in_order(one):
        sized = [y for y in candidates if _may_stand_for(v, y)]
        found = [s for y in sized[:left] if (s := _swap(one, v, other, y)) is not None]
        left -= len(sized)
        if found or left <= 0:
            return found
    return []


def _may_stand_for(v: Made, y: Made) -> bool:
    size = v.tensor.numel()
    if size == 1 and v.call.operation != y.call.operation:
        return False
    return size == y.tensor.numel() and v.tensor.dtype == y.tensor.dtype


def _in_order(side: Side) -> Iterator[Made]:
    """What the first calls read and make."""
    seen: set[TensorRef] = set()
    for call in side.calls[:MOST_SWAPPED]:
        for m in side.common:
            if m.ref not in seen and any(r == m.ref for r in call.inputs):
                seen.add(m.ref)
                yield Made(m.ref, m.tensor, call, common=True)
                whole = side.whole(m.ref)
                if whole is not None and whole not in seen:
                    seen.add(whole)
                    tensor = side.number(whole)
                    if tensor is not None:
                        yield Made(whole, tensor, call, common=True)
        yield from (m for m in side.made if m.call is call)


def _swap(one: Side, v: Made, other: Side, y: Made) -> Swap | None:
    shaped = numbers.reshaped(y.tensor, tuple(v.tensor.shape))
    if shaped is None or fits(shaped, v.tensor):
        return None
    before = {m.ref: m.tensor for m in one.made}
    first: Made | None = None
    for after in one.onwards(v.ref, shaped):
        old = before.get(after.ref)
        if old is None or fits(old, after.tensor) or fits_somehow(after.tensor, y.tensor):
            continue
        meets = other.find(after.tensor)
        if meets is None or (first is not None and fits_somehow(meets.tensor, first.tensor)):
            continue
        if first is not None or not one.readers(after.ref):
            return Swap(one, v, other, y, shaped)
        first = meets
    return None
