"""Casts to a lower precision, and the digits that they lose."""

import numpy as np
import torch

from torch_parity.compare.aten.factories import SHAPED
from torch_parity.compare.aten.memory import digits
from torch_parity.compare.aten.record import Call, Record
from torch_parity.compare.aten.snapshots import TensorRef


def lowers(record: Record, call: Call, bits: int) -> bool:
    """It casts to a lower precision, and digits are lost."""
    if call.operation not in ("_to_copy", "copy") or not call.inputs:
        return False
    source, made = call.inputs[-1], call.outputs[0]
    if source.unjudged or made.unjudged:
        return False
    if digits(made.dtype) >= min(digits(source.dtype), bits):
        return False
    before, after = record.value(source), record.value(made)
    return not torch.equal(after.to(source.dtype), before.expand(made.shape))


def rounds(record: Record, call: Call) -> bool:
    """It is given numbers of some precision and makes numbers of a lower one: a cast that loses
    digits, or a result that is written into memory of a lower precision."""
    if call.operation == "_to_copy" and not call.inputs[-1].dtype.is_floating_point:
        return lowers(record, call, 99)  # whole numbers with more digits than the type has
    given = max((digits(r.dtype) for r in call.inputs if r.dtype.is_floating_point), default=0)
    made = min((digits(r.dtype) for r in call.outputs), default=99)
    if made >= given or call.operation in SHAPED:
        return False
    return call.operation not in ("_to_copy", "copy") or lowers(record, call, 99)


def is_lowered(ref: TensorRef, call: Call | None) -> bool:
    """It is of a lower precision, or made by its call of a tensor that is."""
    refs = [ref, *(call.inputs if call else ())]
    return any(digits(r.dtype) < digits(torch.float64) for r in refs)


def half_lost(recorded: np.ndarray, numbers: np.ndarray) -> bool:
    """More than half of the digits of float64 are others."""
    gap = np.abs(recorded.astype(np.float64) - numbers.astype(np.float64))
    most = np.abs(numbers[np.isfinite(numbers)]).max(initial=0.0)
    return bool((gap[np.isfinite(gap)] > 2.0**-26.5 * float(most)).any())
