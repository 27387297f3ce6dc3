"""Custom autograd Functions: is the backward that a user wrote the derivative of their forward?

The forward's recorded calls run once more on bounded numbers, with autograd; the gradients that the
user's backward gave are held to what comes out.
"""

from collections.abc import Iterator
from typing import Any

import torch

from torch_parity.compare.aten.chosen import LEFT_OUT, Chosen, every_module
from torch_parity.compare.aten.differentiable import Differentiable, lifted
from torch_parity.compare.aten.record import FunctionCall, Record
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.aten.verdicts import FunctionVerdict, held
from torch_parity.compare.bounds.tensors import Unbounded
from torch_parity.compare.torch_private import flattened


def judged_functions(record: Record, chosen: Chosen = every_module) -> Iterator[FunctionVerdict]:
    """A verdict for each call of a custom Function whose backward ran; those of modules that are
    not chosen are not judged."""
    for call in record.functions:
        if call.gradients is None or call.upstream is None:
            continue
        if chosen(call.module):
            yield _judged(record, call)
        else:
            about = call.name, call.module, call.line
            yield FunctionVerdict(*about, "unjudged", reason=LEFT_OUT)


def _judged(record: Record, call: FunctionCall) -> FunctionVerdict:
    about = call.name, call.module, call.line
    try:
        expected = _derivative(record, call)
    except (Unbounded, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        first = (str(error).splitlines() or [""])[0]
        return FunctionVerdict(*about, "unjudged", reason=first[:160] or type(error).__name__)
    needed = [
        need for x, need in zip(call.args, call.needs, strict=True) if isinstance(x, TensorRef)
    ]
    worst = FunctionVerdict(*about, "right")
    for i, (ref, wanted) in enumerate(zip(call.gradients or (), expected, strict=False)):
        if wanted is None:  # nobody needs it, or the forward does not depend on it
            if needed[i] and ref is not None and bool(record.value(ref).any()):
                return FunctionVerdict(*about, "wrong", i, float("inf"))
            continue
        if ref is None:
            return FunctionVerdict(*about, "wrong", i, float("inf"))
        found = held(record.value(ref), wanted)
        if found.unbounded:
            return FunctionVerdict(*about, "unjudged", i, reason="an entry has no bound")
        if found.use > max(worst.use, 1):
            numbers = found.index, found.seen, found.expected
            worst = FunctionVerdict(*about, "wrong", i, found.use, *numbers)
    return worst


def _derivative(record: Record, call: FunctionCall) -> list[Any]:
    """The gradient of each tensor argument; None where the forward does not depend on it."""
    again = Differentiable(record)
    for ref in (x for x in flattened(call.args) if isinstance(x, TensorRef)):
        again.begin_from(ref)
    # autograd knows of the arguments that are tensors alone
    inputs = [
        (again.read(x), need)
        for x, need in zip(call.args, call.needs, strict=True)
        if isinstance(x, TensorRef)
    ]
    with torch.enable_grad():
        for c in record.calls[call.first : call.end]:
            if c.phase == "forward":
                again.compute(c)
        pairs = [
            (again.read(ref), lifted(record, up))
            for ref, up in zip(call.outputs, call.upstream or (), strict=False)
            if up is not None and ref in again and again.read(ref).requires_grad
        ]
        wanted = [t for t, need in inputs if need]
        if not pairs:
            raise Unbounded("its forward is no computation of recorded calls")
        gradients = iter(
            torch.autograd.grad(
                [o for o, _ in pairs], wanted, [g for _, g in pairs], allow_unused=True
            )
        )
        return [next(gradients) if need else None for _, need in inputs]
