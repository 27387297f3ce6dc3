"""How large a call of a file would become: a few bytes of a file may ask for any amount of memory.

Each call is first run on tensors without memory ("meta"), which only computes shapes. Where torch
cannot say (the numbers decide, as in nonzero), no whole number in the call may be large.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch

from torch_parity.compare.aten.record import Call
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.aten.unstored import Unavailable, Unstored
from torch_parity.compare.torch_private import arguments_of, flattened, mapped

# A tensor may have so many entries for each byte of the file (expanded ones have more than they
# hold), and so many at least.
ENTRIES_A_BYTE = 8
ENTRIES = 1 << 20


def most_entries(size: int) -> int:
    """The most entries that a tensor of a file of this size may have."""
    return ENTRIES + ENTRIES_A_BYTE * size


def is_too_large(shape: Sequence[int], most: int) -> bool:
    """Whether a tensor of this shape is larger than allowed."""
    return prod(shape) > most


def runnable(call: Call, value: Any, most: int) -> Any:
    """The call's overload, or Unavailable if its outputs may have more than `most` entries.

    value gives the numbers of a tensor.
    """
    if isinstance(call.overload, Unavailable) or any(r.unjudged for r in _tensors(call)):
        return call.overload
    if any(isinstance(x, Unstored) for x in flattened((call.args, dict(call.kwargs)))):
        return call.overload
    shapes = _shapes(call)
    if shapes is None:
        sized = _largest_number(call, value) <= most
    else:
        sized = not any(is_too_large(shape, most) for shape in shapes)
    if sized:
        return call.overload
    reason = f"{call.operation}: it makes more numbers than a file of this size can hold"
    return Unavailable(call.name, reason)


def _tensors(call: Call) -> list[TensorRef]:
    return [*call.inputs, *call.outputs]


def _shapes(call: Call) -> list[tuple[int, ...]] | None:
    """What torch says about the outputs; None if it does not say."""
    args, kwargs = mapped(_without_memory, (call.args, dict(call.kwargs)))
    if any(argument.name == "device" for argument in arguments_of(call.overload)[len(args) :]):
        kwargs["device"] = torch.device("meta")
    try:
        with torch.no_grad():
            found = flattened(call.overload(*args, **kwargs))
    except Exception:  # whatever the arguments of a stranger's file make torch raise
        return None
    return [tuple(x.shape) for x in found if isinstance(x, torch.Tensor)]


def _without_memory(x: Any) -> Any:
    if isinstance(x, TensorRef):
        return torch.empty_strided(x.shape, x.stride, dtype=x.dtype, device="meta")
    return torch.device("meta") if isinstance(x, torch.device) else x


def _largest_number(call: Call, value: Any) -> int:
    """The sum of the whole numbers that the call reads: what it makes is no larger."""
    total = 0
    for x in flattened((call.args, dict(call.kwargs))):
        if isinstance(x, TensorRef):
            total += prod(x.shape)
            if not x.dtype.is_floating_point and x.dtype != torch.bool:
                total += int(value(x).double().abs().sum())
        elif type(x) is int:
            total += abs(x)
    return total
