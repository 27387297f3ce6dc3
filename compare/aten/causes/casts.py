"""Numbers cast to a lower precision on one side."""

from collections.abc import Iterator
from typing import Any

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed
from torch_parity.compare.aten.causes.registry import ALL, cause
from torch_parity.compare.aten.causes.side import Made, Side
from torch_parity.compare.aten.memory import digits
from torch_parity.compare.aten.naming import where
from torch_parity.compare.aten.record import Call
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.bounds.tensors import BoundedTensor

MOST_UNCAST = 24  # tensors that are computed without a cast


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
