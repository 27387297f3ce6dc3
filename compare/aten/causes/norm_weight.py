"""The weight of a normalization: which it is, and how often a model reads it."""

import torch

from torch_parity.compare.aten.causes.side import Side
from torch_parity.compare.aten.record import Call


def weight_of(side: Side, call: Call) -> torch.Tensor | None:
    """The norm's weight, among what its last call reads."""
    found = (r for r in call.inputs if side.given_name(r).endswith("weight"))
    ref = next(found, None)
    return None if ref is None else side.record.value(ref)


def uses(side: Side, weight: torch.Tensor) -> int:
    """How many calls of the forward read a given tensor with these numbers."""
    record = side.record
    places = {
        ref.place
        for ref in record.given.values()
        if ref.shape == tuple(weight.shape)
        and ref.dtype == weight.dtype
        and torch.equal(record.value(ref), weight)
    }
    return sum(any(r.place in places for r in c.inputs) for c in record.of_phase("forward"))
