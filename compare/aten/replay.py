"""Every recorded call once more, on numbers that carry their bounds, from the inputs it had."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torch_parity.compare.aten.chosen import LEFT_OUT, Chosen, every_module
from torch_parity.compare.aten.doubled import HALVES
from torch_parity.compare.aten.draws import RANDOM, UNINITIALISED
from torch_parity.compare.aten.record import Call, Record
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.aten.unstored import require_available
from torch_parity.compare.aten.verdicts import CallVerdict, held
from torch_parity.compare.aten.watch import Tick
from torch_parity.compare.bounds.tensors import BoundedTensor, Complex, Unbounded, replay_call
from torch_parity.compare.tensors import to_numpy
from torch_parity.compare.torch_private import mapped

# What sums of numbers that vanish may lose, in units of the smallest normal number.
UNDERFLOW = 2.0**20

Find = Callable[[TensorRef], Any]


def replay(
    record: Record, tick: Tick = lambda: None, chosen: Chosen = every_module
) -> Iterator[CallVerdict]:
    """The verdicts of the record's calls, in order; those of modules that are not chosen are not
    judged."""
    for call in record.calls:
        if chosen(call.module):
            yield from replay_one(record, call)
        else:
            yield from _unjudged(call, LEFT_OUT)
        tick()


def replay_one(record: Record, call: Call) -> list[CallVerdict]:
    """One verdict an output of the call.

    The bound of a sum supposes that roundings point up or down by chance; if a call is over it, the
    bound that supposes nothing is tried, and for halves the one of kernels that add up in the half.
    """
    verdicts: list[CallVerdict] = []
    for tier in tiers(record, call):
        verdicts = _held_to(record, call, tier)
        if all(v.outcome != "wrong" for v in verdicts):
            break
    return verdicts


def tiers(record: Record, call: Call) -> tuple[str, ...]:
    """The bounds that a call is held to, sharpest first."""
    half = any(ref.dtype in HALVES for ref in (*call.inputs, *call.outputs))
    return ("walk", "worst", "half") if half else ("walk", "worst")


def _held_to(record: Record, call: Call, tier: str) -> list[CallVerdict]:
    if call.operation in RANDOM or call.operation in UNINITIALISED:
        return [CallVerdict(call, i, "given") for i in range(len(call.outputs))]
    opaque = next((r.unjudged for r in (*call.inputs, *call.outputs) if r.unjudged), "")
    if opaque:
        return _unjudged(call, opaque)
    if call.operation.startswith("_foreach_") and _writes_twice(call):
        return _unjudged(call, f"{call.operation} writes into the same memory more than once")
    try:
        accelerator = any(ref.device != "cpu" for ref in call.inputs)
        expected = expected_of(call, record.value, tier, accelerator)
    except Unbounded as error:
        return _unjudged(call, str(error))
    found = []
    for i, (ref, tensor) in enumerate(zip(call.outputs, expected, strict=False)):
        found.append(_judged(record, call, i, record.value(ref), tensor))
    return found


def _writes_twice(call: Call) -> bool:
    """A tensor that is in a list twice is written twice, one after the other."""
    places = [(ref.place, ref.offset) for ref in call.outputs]
    return len(set(places)) < len(places)


def _judged(record: Record, call: Call, i: int, seen: Tensor, expected: Any) -> CallVerdict:
    """One output, held to what it may be."""
    if expected is None:
        return CallVerdict(call, i, "given")
    what = held(seen, expected)
    if what.use > 1:
        if odd := undefined_by(record, call, np.isnan(what.seen) != np.isnan(what.expected)):
            return CallVerdict(call, i, "unjudged", what, odd)
        return CallVerdict(call, i, "wrong", what)
    if what.unbounded:
        return CallVerdict(call, i, "unjudged", what, f"{call.operation}: an entry has no bound")
    if what.power >= 1 and proves_nothing(what.reach, record, [call]):
        reason = f"{call.operation}: its bound is larger than what it computes with"
        return CallVerdict(call, i, "unjudged", what, reason)
    return CallVerdict(call, i, "right", what)


def undefined_by(record: Record, call: Call, nan_on_one_side: bool) -> str:
    """Why a number that is not what the formula gives is no proof; "" if it is.

    What a kernel makes of nan is its own affair (torch.sign makes 0), and so is nan of infinities.
    """
    given = [record.value(r) for r in call.inputs if real(r)]
    if any(bool(torch.isnan(x).any()) for x in given):
        return f"{call.operation}: its inputs hold nan, of which another kernel makes other numbers"
    if nan_on_one_side and not all(bool(torch.isfinite(x).all()) for x in given):
        return f"{call.operation}: its inputs are not finite, and one formula makes nan of them"
    return ""


def require_known_nan(record: Record, call: Call, expected: Iterable[Any]) -> None:
    """Raises:
    Unbounded: of numbers that are not finite the call made nan where its formula makes none, or
        the other way round; or of nan it made another number than its formula.
    """
    for ref, tensor in zip(call.outputs, expected, strict=False):
        if isinstance(tensor, BoundedTensor) and not ref.unjudged:
            made, value = to_numpy(record.value(ref)), np.asarray(tensor.bounded.value)
            made = made.astype(value.dtype)
            odd = ""
            if (np.isnan(made) != np.isnan(value)).any():
                odd = undefined_by(record, call, True)
            elif _far(made, value):
                odd = undefined_by(record, call, False)
            if odd:
                raise Unbounded(odd)


def _far(made: np.ndarray, value: np.ndarray) -> bool:
    """Not even half of the digits of float32 are the same: no rounding, but another formula."""
    with np.errstate(all="ignore"):
        gap = np.where(made == value, 0.0, np.abs(made - value))
    largest = np.abs(value[np.isfinite(value)]).max(initial=0.0)
    return bool((gap[~np.isnan(gap)] > 2.0**-12 * float(largest)).any())


def proves_nothing(bound: float, record: Record, calls: Iterable[Call]) -> bool:
    """Whether a bound is as large as everything that the calls were given.

    A sum that cancels, or the softmax of a single class, is nothing but rounding, and right; but an
    entry that may be anything is judged by nobody.
    """
    given = [r for call in calls for r in call.inputs if real(r)]
    if not given or bound <= UNDERFLOW * max(torch.finfo(r.dtype).tiny for r in given):
        return False
    return bound >= max(largest(record.value(r)) for r in given)


def real(ref: TensorRef) -> bool:
    """A tensor of real numbers that can be read."""
    return ref.dtype.is_floating_point and not ref.unjudged


def largest(tensor: Tensor) -> float:
    """The greatest size of a finite entry."""
    sizes = tensor.detach().abs()
    sizes = sizes[torch.isfinite(sizes)]
    return float(sizes.max()) if sizes.numel() else 0.0


# They factorize the transposed of a matrix that lies in memory row by row.
OF_DETERMINANTS = {"_linalg_det", "_linalg_slogdet"}


def expected_of(call: Call, find: Find, tier: str = "walk", accelerator: bool = False) -> list[Any]:
    """What the call's outputs may be, from the tensors that find gives; see replay_call.

    Raises:
        Unbounded: no bound can be derived.
    """
    require_available(call.overload, (call.args, call.kwargs))
    args, kwargs = mapped(
        lambda x: _found(x, find) if isinstance(x, TensorRef) else x, (call.args, call.kwargs)
    )
    try:
        if call.operation == "cudnn_batch_norm":
            return _batch_norm_of_cudnn(args, tier)
        outputs = replay_call(call.overload, args, kwargs, tier, accelerator)
        if call.operation in OF_DETERMINANTS and not _lies_in_rows(call.inputs[0]):
            factors = replay_call(torch.ops.aten.linalg_lu_factor_ex.default, args, {}, tier)
            outputs[-2:] = factors[:2]
    except Unbounded:
        raise
    except (NotImplementedError, RuntimeError, TypeError, ValueError, IndexError) as error:
        # torch's own code for this call does not run on bounded numbers: that is no verdict on it
        first = (str(error).splitlines() or [""])[0]
        raise Unbounded(f"{call.operation}: {type(error).__name__}: {first[:120]}") from error
    if len(outputs) < len(call.outputs):
        raise Unbounded(f"{call.operation}: not all of its outputs have a bound")
    for ref, made in zip(call.outputs, outputs, strict=False):
        if made is not None and math.prod(getattr(made, "shape", ())) != math.prod(ref.shape):
            raise Unbounded(f"{call.operation}: its rule makes the shape {tuple(made.shape)}")
    return outputs


def _lies_in_rows(matrices: TensorRef) -> bool:
    """Whether memory holds them row by row, as torch makes them."""
    made = np.cumprod((1, *matrices.shape[:0:-1]))[::-1]
    return all(
        n == 1 or own == step
        for n, own, step in zip(matrices.shape, matrices.stride, made, strict=True)
    )


def _found(ref: TensorRef, find: Find) -> Any:
    return Complex(find(ref)) if ref.complex else find(ref)


def _batch_norm_of_cudnn(args: Any, tier: str) -> list[Any]:
    """native_batch_norm's outputs, then memory of cuDNN's own, then the running statistics."""
    overload = torch.ops.aten.native_batch_norm.default
    made = replay_call(overload, args[:8], {}, tier)
    return [*made[:3], None, *made[3:]]


def _unjudged(call: Call, reason: str) -> list[CallVerdict]:
    return [CallVerdict(call, i, "unjudged", reason=reason) for i in range(len(call.outputs))]
