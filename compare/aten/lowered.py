"""Casts to a lower precision, and the digits that they lose."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torch_parity.compare.aten.draws import RANDOM
from torch_parity.compare.aten.memory import digits
from torch_parity.compare.aten.record import Call, Record, operation_of
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


def casts_to_float32(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """It makes a float32 tensor of a float64 one, and draws no random numbers. (What is made of
    whole numbers has the digits of float32 in any precision, as a stored buffer has.)"""
    if kwargs.get("dtype") is not torch.float32 or operation_of(func) in RANDOM:
        return False
    return bool(args) and isinstance(args[0], Tensor) and args[0].dtype == torch.float64


def casts_back(record: Record) -> bool:
    """Whether a step in float64 casts to float32."""
    casts = (c for c in record.calls if c.operation == "_to_copy")
    return any(
        (c.inputs[0].dtype, c.outputs[0].dtype) == (torch.float64, torch.float32) for c in casts
    )


def is_lowered(ref: TensorRef, call: Call | None) -> bool:
    """It is of a lower precision, or made by its call of a tensor that is."""
    refs = [ref, *(call.inputs if call else ())]
    return any(digits(r.dtype) < digits(torch.float64) for r in refs)


def half_lost(recorded: np.ndarray, numbers: np.ndarray) -> bool:
    """More than half of the digits of float64 are others."""
    gap = np.abs(recorded.astype(np.float64) - numbers.astype(np.float64))
    most = np.abs(numbers[np.isfinite(numbers)]).max(initial=0.0)
    return bool((gap[np.isfinite(gap)] > 2.0**-26.5 * float(most)).any())
