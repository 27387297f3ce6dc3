"""A module against arrays that were computed by hand: is each of them what the module's step makes?

Every array is held to the bound that follows from the arrays before it, and from the weights.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torch_parity.compare.aten.align import align
from torch_parity.compare.aten.array_causes import in_another_layout, scaled_gradients
from torch_parity.compare.aten.check import model_report
from torch_parity.compare.aten.coarse import unjudged_by_rounding
from torch_parity.compare.aten.doubled import precisions
from torch_parity.compare.aten.ends import End, phase_of
from torch_parity.compare.aten.keywords import explains_keywords
from torch_parity.compare.aten.lazy import initialised
from torch_parity.compare.aten.pair_report import ModulesReport
from torch_parity.compare.aten.parting import Parting
from torch_parity.compare.aten.record import Call, Record
from torch_parity.compare.aten.recording import recorded, recorded_in_float64
from torch_parity.compare.aten.snapshots import Snapshots, TensorRef, unreadable
from torch_parity.compare.aten.step import Step
from torch_parity.compare.aten.writers import writers_of
from torch_parity.compare.bounds.precision import is_real
from torch_parity.compare.errors import InputError, suggest
from torch_parity.compare.tensors import to_numpy


@explains_keywords
def check_module(
    module: Callable[..., Any],
    mine: Mapping[str, Any],
    *inputs: Any,
    loss: Callable[..., Any] | None = None,
    target: Any = None,
    optimizer: torch.optim.Optimizer | None = None,
    names: Mapping[str, str] | None = None,
    called: tuple[str, str] = ("mine", "torch"),
    **kwargs: Any,
) -> ModulesReport:
    """Judge arrays written by hand against one step of a module, which is left as it was.

    mine holds any part of what the module's step makes, in the module's shapes (another shape is a
    FAIL), by these names, or with names={"fc1.weight.grad": "dW1"} by others:

    | tensor | name |
    | --- | --- |
    | output of a module; of its second call; of several | `fc1`, `fc1@2`, `lstm.0` |
    | what the model returns, and the loss | `output`, `loss` |
    | gradient of any of these, of a parameter, of an input | `fc1.grad`, `fc1.weight.grad` |
    | parameter or buffer after the step; optimizer state | `new fc1.weight` |

    If all arrays of real numbers are float64 and the module is not, a copy of the module in float64
    is used. Dropout draws from torch's generator as it stands.

    Raises:
        InputError (a ValueError): mine is empty, or holds what the step does not make; see
            record_step in step.py for the rest.
    """
    if not mine:
        raise InputError("check_module: mine is empty, and an empty comparison proves nothing")
    theirs = {of: name for name, of in (names or {}).items()}
    _require_one_each(mine, theirs)
    arrays = {theirs.get(name, name): _array(name, value) for name, value in mine.items()}
    step = initialised(Step(module, inputs, kwargs, loss, target, optimizer, called[1]))
    record = recorded(step)
    report = model_report(record, called[1])
    real = [x for x in arrays.values() if x.dtype.kind == "f"]
    in_float64 = bool(real) and all(x.dtype == np.float64 for x in real)
    if in_float64:
        record = _in_float64(step, record)
    ends = [_end(name, array, record, names or {}) for name, array in arrays.items()]
    written = {place: call.index for place, call in writers_of(record).items()}
    ends.sort(key=lambda end: written.get(end.ref.place, -1))  # as they are computed
    alignment = align(Record(Snapshots()), record, ends, {})
    if in_float64:
        unjudged_by_rounding(alignment, called)
    wrong = next((e for e in alignment.ends if e.outcome == "wrong"), None)
    parted = None if wrong is None else Parting(wrong, (), _made_by(record, wrong.end.ref))
    layouts = tuple(in_another_layout(alignment, names or {}, called))
    causes = () if layouts else tuple(scaled_gradients(alignment, names or {}, called))
    return ModulesReport(
        alignment,
        parted,
        (report,),
        causes=tuple(c.name for c in causes),
        explanations=(*layouts, *(c.sentence for c in causes)),
        called=called,
        precision=" and ".join(sorted(precisions(record))),
    )


def _require_one_each(mine: Mapping[str, Any], theirs: Mapping[str, str]) -> None:
    """Of two arrays for one tensor only one would be judged."""
    for name, of in theirs.items():
        if name != of and name in mine and of in mine:
            raise InputError(
                f"check_module: mine holds {name!r} and {of!r}, but names= gives both to "
                "one tensor; leave one out"
            )


def _made_by(record: Record, ref: TensorRef) -> tuple[Call, ...]:
    """The call that made a tensor: of arrays, what leads to it is not known."""
    call = writers_of(record).get(ref.place)
    return () if call is None else (call,)


def _in_float64(step: Step, record: Record) -> Record:
    if precisions(record) <= {"float64"}:
        return record
    return recorded_in_float64(step)


def _end(name: str, array: np.ndarray, record: Record, names: Mapping[str, str]) -> End:
    """What the array has to be."""
    known = _known(record)
    if name not in known:
        yours = f", which names= calls {names[name]!r}" if name in names else ""
        remedy = suggest(name, known)
        if name.endswith(".grad") and not any(n.endswith(".grad") for n in known):
            remedy = "give loss=, without it the step computes no gradients"
        raise InputError(f"check_module: the module's step makes no {name!r}{yours}; {remedy}")
    return End(name, known[name], phase_of(name), (array,), name)


def _known(record: Record) -> dict[str, TensorRef]:
    """Every tensor with a name. A parameter that the step has changed goes by its plain name as
    well."""
    changed = {name.removeprefix("new "): ref for name, ref in record.results.items()}
    return record.named | changed | record.results


def _array(name: str, value: Any) -> np.ndarray:
    if isinstance(value, Tensor):
        if reason := unreadable(value):
            raise InputError(f"check_module: {name} is a {reason}; expected an array of numbers")
        return to_numpy(value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(f"check_module: {name}: expected an array of numbers: {error}") from error
    if array.dtype.kind not in "fiub" and not is_real(array.dtype):
        kind = type(value).__name__ if array.dtype == object else array.dtype
        raise InputError(f"check_module: {name} is of {kind}; expected an array of real numbers")
    return array
