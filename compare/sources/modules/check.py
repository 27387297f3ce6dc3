"""Two torch modules, or a module and layers written by hand, judged on one step.

Nothing passes by being left out: what only one side has fails, unless the caller names it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from torch import Tensor, nn

from torch_parity.compare.errors import InputError, suggest
from torch_parity.compare.flow.nodes import Node, result
from torch_parity.compare.flow.trace import Trace
from torch_parity.compare.judge.judge import judge_traces
from torch_parity.compare.judge.replay import recorded_inputs
from torch_parity.compare.judge.report import Report
from torch_parity.compare.sources.modules.capture import Capture, Task, record
from torch_parity.compare.sources.modules.causes import Optimizers, explanations
from torch_parity.compare.sources.modules.nodes import made_by
from torch_parity.compare.sources.modules.recorder import numbers
from torch_parity.compare.sources.modules.renaming import inverse, renamed, with_names
from torch_parity.compare.sources.modules.unchanged import fresh, unchanged


def check_modules(
    a: nn.Module,
    b: nn.Module,
    *inputs: Any,
    loss: Callable[..., Any] | None = None,
    target: Any = None,
    optimizers: Optimizers | None = None,
    names: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    called: tuple[str, str] = ("a", "b"),
    share_masks: bool = True,
    **kwargs: Any,
) -> Report:
    """Run one step of both on copies of the same inputs, and judge every tensor.

    names says what of b goes with what of a: {"fc1": "layers.0"} pairs these modules and all their
    tensors. ignore are fnmatch patterns of tensors, by a's names, that are not compared. With
    share_masks each dropout of b draws from where its partner in a drew. Both modules, their
    optimizers and the generators are left as they were. For the rest see capture, beside this file.

    Raises:
        InputError (a ValueError): what capture raises; names or ignore that fit nothing, or leave
            nothing; one module as both.
    """
    if a is b:
        raise InputError("check_modules: a and b are one module; compare it with a copy.deepcopy")
    names = names or {}
    first = _recorded(a, _task(inputs, kwargs, loss, target, optimizers and optimizers[0]), {})
    states = {renamed(n, names): s for n, s in first.states.items()} if share_masks else {}
    second = _recorded(b, _task(inputs, kwargs, loss, target, optimizers and optimizers[1]), states)
    back = inverse(names, _all_names(first), _all_names(second), called)
    pair = _without(ignore, first, with_names(second, back))
    judgement = judge_traces(*pair, called)
    failed = {d.name for d in judgement.differences if not d.passed}
    why = () if judgement.passed else tuple(explanations(*pair, failed, called, optimizers))
    notes = _told(first.notes, second.notes, called)
    return Report(judgement, called, notes=notes, explanations=why)


def check_module(
    module: nn.Module,
    mine: Mapping[str, Any],
    *inputs: Any,
    loss: Callable[..., Any] | None = None,
    target: Any = None,
    optimizer: Any = None,
    names: Mapping[str, str] | None = None,
    called: tuple[str, str] = ("mine", "torch"),
    **kwargs: Any,
) -> Report:
    """Judge arrays written by hand against one step of a module, which is left as it was.

    mine holds any part of what the module's step makes, by the names of capture, beside this file
    (or, with names={"fc1.weight.grad": "dW1"}, by others): numbers in the module's shapes. Dropout
    draws from torch's generator as it stands; capture the same step first to have its masks.

    Raises:
        InputError (a ValueError): what capture raises; mine is empty, or holds what the step does
            not make; names that fit nothing.
    """
    if not mine:
        raise InputError("check_module: mine is empty, and an empty comparison proves nothing")
    torch = _recorded(module, _task(inputs, kwargs, loss, target, optimizer), {})
    back = inverse(names or {}, _all_names(torch), mine, (called[1], called[0]))
    arrays = {renamed(name, back): _array(value) for name, value in mine.items()}
    for name in arrays:
        if name not in torch.made:
            raise InputError(
                f"check_module: the module's step makes no {name!r}; {suggest(name, torch.made)}"
            )
    theirs = {name: array for name, array in torch.made.items() if name in arrays}
    by_hand = judgeable(Trace(torch.given, {name: arrays[name] for name in theirs}, torch.nodes))
    judgement = judge_traces(by_hand, judgeable(replace(torch, made=theirs)), called)
    notes = [f"{called[1]}: {note}" for note in torch.notes if not note.startswith("Compared, ")]
    if rest := [name for name in theirs if name not in made_by(by_hand.nodes)]:
        notes.append(f"Compared, not judged, for want of what they come from: {', '.join(rest)}.")
    return Report(judgement, called, notes=tuple(notes))


def judgeable(trace: Trace) -> Trace:
    """The trace without the nodes that need what is not recorded and cannot be made."""
    known = set(recorded_inputs(trace.given, trace.made))
    kept: list[Node] = []
    for node in trace.nodes:
        if known.issuperset(node.inputs):
            kept.append(node)
            known |= {result(node, name) for name in node.outputs}
    return Trace(trace.given, trace.made, tuple(kept))


def _task(
    inputs: tuple[Any, ...], kwargs: dict[str, Any], loss: Any, target: Any, optimizer: Any
) -> Task:
    return Task(fresh(inputs), fresh(kwargs), loss, fresh(target), optimizer)


def _recorded(module: nn.Module, task: Task, states: Mapping[str, Tensor]) -> Capture:
    with unchanged(module, task.optimizer):
        return record(module, task, states)


def _all_names(trace: Trace) -> list[str]:
    return list(dict.fromkeys([*trace.given, *trace.made]))


def _without(ignore: Sequence[str], a: Capture, b: Capture) -> tuple[Capture, Capture]:
    """Both without what is ignored; operations in between are looked through."""
    known = list(dict.fromkeys([*_all_names(a), *_all_names(b)]))
    for pattern in ignore:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise InputError(f"ignore: nothing is called {pattern!r}; {suggest(pattern, known)}")

    def kept(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {n: x for n, x in arrays.items() if not any(fnmatchcase(n, p) for p in ignore)}

    left = [replace(t, given=kept(t.given), made=kept(t.made)) for t in (a, b)]
    if not all(t.made for t in left):
        raise InputError("ignore: nothing that a step makes is left to compare")
    first, second = (replace(t, nodes=judgeable(t).nodes) for t in left)
    return first, second


def _array(value: Any) -> np.ndarray:
    return numbers(value) if isinstance(value, Tensor) else np.asarray(value)


def _told(
    first: tuple[str, ...], second: tuple[str, ...], called: tuple[str, str]
) -> tuple[str, ...]:
    """The notes of both, each once, with whom they are about."""
    by_side = dict(zip(called, (first, second), strict=True))
    notes = dict.fromkeys([*first, *second])
    return tuple(
        f"{' and '.join(side for side in called if note in by_side[side])}: {note}"
        for note in notes
    )
