"""One step of any torch module as a Trace: what came in, what every leaf made, what came back.

A leaf is a module without children; its tensors go by its qualified name.

| tensor | name |
| --- | --- |
| what the module is given | `input`; of several `input.0`, `input.mask` |
| what the loss is given besides | `target` |
| output of a leaf | `fc1`; of several `lstm.0`, `head.logits`; of its second call `fc1@2` |
| input of a leaf that no leaf made (x + y, a reshape) | `fc1.input` |
| dropout mask, 0 or 1/(1-p) | `drop.mask` |
| what the module returns, and the loss | `output`, `loss` |
| gradient of any of these | `fc1.grad`, `fc1.input.grad`, `output.grad` |
| parameter or buffer, given and after the step | `fc1.weight`, `norm.running_mean` |
| gradient of a parameter; the one that lay there before | `fc1.weight.grad`, `previous_...` |
| optimizer state | `fc1.weight.momentum_buffer`, `fc1.weight.exp_avg` |

A name that is taken already gets `@2`, like a second call.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torch_parity.compare.errors import InputError
from torch_parity.compare.flow.graph import linked
from torch_parity.compare.flow.trace import Trace
from torch_parity.compare.sources.modules.nodes import added_up, kind, made_by, nodes_of
from torch_parity.compare.sources.modules.optimizer_nodes import grouped, memory, update_nodes
from torch_parity.compare.sources.modules.recorder import (
    Call,
    Edge,
    Recorder,
    arguments,
    edge,
    named_tensors,
)
from torch_parity.compare.sources.modules.unchanged import fresh, unchanged


@dataclass(frozen=True)
class Capture(Trace):
    """A Trace with what else was seen: notes (what was not called, not judged, widened), the module
    behind each name, and the generator states from which dropouts drew."""

    notes: tuple[str, ...] = ()
    modules: Mapping[str, nn.Module] = field(default_factory=dict)
    states: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """What a step does with a module: inputs and keywords for its forward, then loss(output,
    target), or loss(output) without a target, then backward, then the optimizer's step."""

    inputs: tuple[Any, ...]
    keywords: Mapping[str, Any]
    loss: Callable[..., Any] | None = None
    target: Any = None
    optimizer: torch.optim.Optimizer | None = None


def capture(
    module: nn.Module,
    *inputs: Any,
    loss: Callable[..., Any] | None = None,
    target: Any = None,
    optimizer: torch.optim.Optimizer | None = None,
    step: bool = True,
    **kwargs: Any,
) -> Capture:
    """Run one step of a module and record it, by hooks.

    The step is forward; with a loss, loss(output, target) and backward; with an optimizer, its
    step. Gradients that lie there already are added to, as torch does. step=False puts everything
    back afterwards: parameters, buffers, gradients, modes, generators, the optimizer's state; and
    the inputs are copies.

    Raises:
        InputError: an optimizer or a target without a loss, a loss that is not one number, an
            optimizer of another module, a module of which no leaf is called.

    Source: torch.nn.Module.register_forward_hook, torch.Tensor.register_hook.
    """
    if step:
        return record(module, Task(inputs, kwargs, loss, target, optimizer))
    with unchanged(module, optimizer):
        return record(module, Task(fresh(inputs), fresh(kwargs), loss, fresh(target), optimizer))


def record(module: nn.Module, task: Task, states: Mapping[str, Tensor] | None = None) -> Capture:
    """capture, with dropouts that draw from given generator states, by name of call."""
    params = dict(module.named_parameters())
    _check(task, params)
    used: Counter[Edge] = Counter()
    ends = None
    with Recorder(module, states or {}) as recorder:
        _given(recorder, "input", arguments(task.inputs, task.keywords))
        output = module(*task.inputs, **task.keywords)
        _returned(recorder, output)
        if task.loss is not None:
            loss, ends = _loss(recorder, task, output)
            if loss.requires_grad:
                used = added_up(loss)
                loss.backward()  # type: ignore[no-untyped-call]
        _update(recorder, task, params)
    nodes, notes = nodes_of(recorder, used, ends)
    if task.optimizer is not None:
        trained = {n: p for n, p in params.items() if f"{n}.grad" in recorder.made}
        updates, more = update_nodes(task.optimizer, trained)
        nodes += updates
        notes += more
    return Capture(
        recorder.given,
        recorder.made,
        linked(nodes),
        (*notes, *_notes(recorder, task, params, made_by(nodes))),
        {c.name: c.module for c in recorder.calls if isinstance(c.module, nn.Module)},
        recorder.states,
    )


def _check(task: Task, params: Mapping[str, nn.Parameter]) -> None:
    if task.loss is None and (task.optimizer is not None or task.target is not None):
        raise InputError("capture: a target or an optimizer needs a loss; give loss=nn.MSELoss()")
    if task.optimizer is not None and not any(grouped(task.optimizer, params)):
        raise InputError(
            "capture: the optimizer holds none of the module's parameters; make it from "
            "module.parameters()"
        )


def _given(recorder: Recorder, name: str, value: Any) -> list[tuple[str, Tensor]]:
    tensors = list(named_tensors(value, recorder.numbered(name)))
    for at, tensor in tensors:
        recorder.keep(recorder.given, at, tensor)
    return tensors


def _returned(recorder: Recorder, output: Any) -> None:
    """Where a leaf made what the module returns, passing it on is a call like any other."""
    if not recorder.calls:
        raise InputError(
            f"capture: no module was called inside {kind(recorder.module)}, so there is nothing to "
            "record; layers must be called, not only held"
        )
    if recorder.leaves.get(recorder.module):
        return
    for name, tensor in named_tensors(output, recorder.numbered("output")):
        made_before = recorder.known(tensor)
        recorder.keep(recorder.made, name, tensor)
        if made_before is not None:
            passed = Call(name, nn.Identity(), (made_before,), (edge(tensor),), (name,))
            recorder.calls.append(passed)


def _loss(recorder: Recorder, task: Task, output: Any) -> tuple[Tensor, Call]:
    """The loss, and its computing as a call."""
    assert task.loss is not None
    _given(recorder, "target", task.target)
    both = (output,) if task.target is None else (output, task.target)
    loss = task.loss(*both)
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        came = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise InputError(f"capture: the loss is {came}, expected one number; reduce it to its mean")
    tensors = [t for _, t in named_tensors(both, "")]
    name = recorder.numbered("loss")
    call = Call(
        name,
        task.loss,
        tuple(recorder.name_of(f"{name}.input.{i}", t) for i, t in enumerate(tensors)),
        tuple(edge(t) for t in tensors),
        (name,),
    )
    recorder.put(recorder.made, name, loss)
    recorder.edges[name] = edge(loss)
    recorder.calls.append(call)
    return loss, call


def _update(recorder: Recorder, task: Task, params: Mapping[str, nn.Parameter]) -> None:
    """What the step leaves behind: buffers that moved, and all that the optimizer touches."""
    if task.optimizer is not None:
        for name, tensor in memory(task.optimizer, params).items():
            recorder.put(recorder.given, name, tensor)
        task.optimizer.step()
        for name, tensor in memory(task.optimizer, params).items():
            recorder.put(recorder.made, name, tensor)
        for name, p in params.items():
            recorder.put(recorder.made, name, p)
    for name, buffer in recorder.module.named_buffers():
        recorder.put(recorder.made, name, buffer)
        was = recorder.given.get(name)
        if was is not None and np.array_equal(was, recorder.made[name], equal_nan=True):
            del recorder.made[name]


def _notes(
    recorder: Recorder, task: Task, params: Mapping[str, nn.Parameter], judged: set[str]
) -> list[str]:
    """What a reader of the record has to know."""
    notes = []
    called = {call.module for call in recorder.calls}
    if silent := [n for m, n in recorder.leaves.items() if m not in called]:
        notes.append(f"Never called: {', '.join(silent)}.")
    if frozen := [n for n, p in params.items() if not p.requires_grad]:
        notes.append(f"Frozen, so without a gradient: {', '.join(frozen)}.")
    apart = [n for n, p in params.items() if p.requires_grad and f"{n}.grad" not in recorder.made]
    if task.loss is not None and apart:
        notes.append(f"No gradient reached: {', '.join(apart)}.")
    if recorder.lowered:
        notes.append(f"Widened to float32 for the record: {', '.join(recorder.lowered)}.")
    by_calls = {name for call in recorder.calls for name in call.outputs}
    if rest := [n for n in recorder.made if n not in judged | by_calls]:
        notes.append(
            "Compared, not judged, as no operation that the judge knows makes them alone: "
            f"{', '.join(rest)}."
        )
    return notes
