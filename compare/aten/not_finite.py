"""Which call of a recorded step was the first to make NaN or infinity."""

from collections.abc import Callable

import torch

from torch_parity.compare.aten.draws import UNINITIALISED
from torch_parity.compare.aten.naming import TensorNames, formula, where
from torch_parity.compare.aten.record import Call, Record
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.aten.writers import stretch
from torch_parity.compare.torch_private import flattened

Found = Callable[[torch.Tensor], torch.Tensor]


def first_not_finite(record: Record) -> str:
    """In words, what made the first loss, gradient or new number that is NaN or infinite; "" if all
    are finite.

    An infinity that a mask is filled with made nothing wrong: the calls are searched backwards from
    what came out.
    """
    for name, ref in record.results.items():
        if name.partition(".")[0] == "output" and not name.endswith(".grad"):
            continue
        if _holds(record, ref, torch.isnan):
            return _told(record, name, ref, torch.isnan)
        if _holds(record, ref, torch.isinf):
            return _told(record, name, ref, torch.isinf)
    return ""


def _told(record: Record, name: str, ref: TensorRef, bad: Found) -> str:
    maker = _maker(record, ref, bad)
    if maker is not None and bad is torch.isnan:  # inf - inf: what made the infinity is wrong
        infinite = (r for r in maker.inputs if _holds(record, r, torch.isinf))
        causes = (_maker(record, r, torch.isinf) for r in infinite)
        cause = next((c for c in causes if c is not None), None)
        if cause is not None:
            maker, bad = cause, torch.isinf
    what = "NaN" if bad is torch.isnan else "infinity"
    if maker is None:
        return f"{name} holds {what}, which the step was given"
    return f"{formula(maker, TensorNames(record))} made {what} first ({where(maker)})"


def _maker(record: Record, ref: TensorRef, bad: Found) -> Call | None:
    """The first call that makes such a number out of none, and not because it was told to."""
    for call in stretch(record, ref, set()):
        made = any(_holds(record, r, bad) for r in call.outputs)
        if not made or call.operation in UNINITIALISED:
            continue
        if any(_holds(record, r, bad) for r in call.inputs):
            continue
        if not any(isinstance(x, float) and abs(x) == float("inf") for x in flattened(call.args)):
            return call
    return None


def _holds(record: Record, ref: TensorRef, bad: Found) -> bool:
    if ref.unjudged or not ref.dtype.is_floating_point:
        return False
    return bool(bad(record.value(ref)).any())
