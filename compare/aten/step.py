"""One step of any module or function under the recorder: forward, loss, backward, update."""

from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from torch_parity.compare.aten.compiled import backward_aside, compiled_seen
from torch_parity.compare.aten.constants import as_written, is_rate
from torch_parity.compare.aten.draws import Draws
from torch_parity.compare.aten.leaves import leaves_of
from torch_parity.compare.aten.memory_sums import require_unchanged, sums_of
from torch_parity.compare.aten.outside import put_back
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.recorder import Recorder
from torch_parity.compare.aten.returned import copied, is_number, source_of
from torch_parity.compare.aten.snapshots import Snapshots, TensorRef
from torch_parity.compare.aten.spool import SpooledSnapshots
from torch_parity.compare.aten.unchanged import plain_attributes, tensor_attributes, tensors_held_in
from torch_parity.compare.aten.uncompared import CLASS, Kept, seeding_seen
from torch_parity.compare.errors import InputError, shown

OF_AN_OPTIMIZER = ("step", "param_groups", "state")


@dataclass(frozen=True)
class Step:
    """What is run: model(*inputs, **keywords), then loss(output, target), or loss(output) without a
    target; then backward from it, and the optimizer's step.

    model is an nn.Module or any callable. loss returns one number, or several (a list, a dict):
    backward is taken from each in turn. called is the model's name in messages. keep is a folder
    for the recorded tensors; None keeps them in memory. doubled says that it is a step in float64
    of a program in a lower precision, which makes float64 where the program says float32; constants
    are the numbers that float32 tensors stand for there (constants.py).
    """

    model: Any
    inputs: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] | None = None
    loss: Callable[..., Any] | None = None
    target: Any = None
    optimizer: torch.optim.Optimizer | None = None
    called: str = "the model"
    keep: Path | None = None
    doubled: bool = False
    constants: Mapping[float, float] = field(default_factory=dict)


def record_step(step: Step, draws: Draws | None = None) -> Record:
    """Run the step, and record every ATen call of it. The model is changed as the step changes it.

    Raises:
        InputError: an optimizer or target without a loss, an optimizer of another model, a model
            or loss that raises, a loss that is no number, a model that returns nothing.
    """
    require_whole(step)
    snapshots = Snapshots() if step.keep is None else SpooledSnapshots(step.keep)
    recorder = Recorder(step.model, draws, snapshots, step.doubled, step.constants)
    record = recorder.record
    record.attributes, record.cut = _plain(step), set()
    held = Kept(step.model)
    kept = {n: recorder.ref(t) for n, t in _attributes(step)}
    record.given |= kept | {n: recorder.ref(t) for n, t in _given(step)}
    recorder.knows(t for _, t in (*_given(step), *_attributes(step)))
    sums = sums_of(record, snapshots)
    with compiled_seen(recorder, step.model) as model, seeding_seen(record), recorder:
        output = run_forward(replace(step, model=model))
        _results(recorder, "output", output)
        if not record.results and not record.others and step.loss is None:
            raise InputError(f"{step.called} returned nothing, so there is nothing to judge")
        losses = _losses(step, output)
        _results(recorder, "loss", losses[0] if len(losses) == 1 else losses)
        with recorder.phase("backward"):
            for i, loss in enumerate(losses):
                more = i + 1 < len(losses)
                if loss.requires_grad:
                    backward_aside(recorder, loss)
                    _run(step, "the backward", partial(loss.backward, retain_graph=more))
        params = _parameters(step)
        before = {n: recorder.ref(p.grad) for n, p in params.items() if p.grad is not None}
        record.results |= {f"{n}.grad": ref for n, ref in before.items()}
        record.results |= {
            f"{n}.grad": recorder.ref(t.grad)
            for n, t in _inputs(step)
            if t.is_leaf and t.requires_grad and t.grad is not None
        }
        if step.optimizer is not None:
            with recorder.phase("update"):
                _run(step, "the optimizer's step", step.optimizer.step)
    record.undrawn = bool(record.compiled) and draws is not None and not draws.all_drawn
    require_unchanged(record, snapshots, sums, step.called)
    _updated(recorder, step, _read_of(record, kept))
    now = _plain(step)
    record.others |= {f"new {n}": v for n, v in now.items() if record.attributes.get(n, v) != v}
    compared = {n.removeprefix("new ") for n in (*record.given, *record.results)}
    if not losses:
        record.unregistered.clear()
    record.stored = held.changed([*compared])
    for tensor in held.tensors():  # whoever puts the model back writes into this memory
        snapshots.after_writing(snapshots.before_writing(tensor))
    record.foreign = put_back(record, snapshots, _own_tensors(step, held))
    return record


def _own_tensors(step: Step, held: Kept) -> Iterator[Tensor]:
    """What the step may write into: it is put back, or carried on, by others."""
    yield from held.tensors()
    for model in (step.model, step.loss):
        if isinstance(model, nn.Module):
            yield from (*model.parameters(), *model.buffers())
    given = [t for _, t in (*_given(step), *_attributes(step))]
    yield from given
    yield from (t.grad for t in given if t.is_leaf and t.grad is not None)
    if step.optimizer is not None:
        yield from tensors_held_in([dict(s) for s in step.optimizer.state.values()])


def _read_of(record: Record, kept: Mapping[str, TensorRef]) -> set[str]:
    """The plain attributes that the step reads as they were; the others (caches, which it only
    writes) say nothing of what it computes, and are no longer among what was given."""
    read = {ref.place for call in record.calls for ref in call.inputs}
    names = {name for name, ref in kept.items() if ref.place in read}
    for name in kept.keys() - names:
        del record.given[name]
    return names


def run_forward(step: Step) -> Any:
    """What the model returns.

    Raises:
        InputError: it raises.
    """
    return _run(step, "the forward", lambda: step.model(*step.inputs, **(step.keywords or {})))


def require_whole(step: Step) -> None:
    """Raise InputError unless the parts of the step are what they have to be."""
    if isinstance(step.loss, type):
        name = step.loss.__name__
        raise InputError(f"the loss of {step.called} is the class {name}; give {name}()")
    if isinstance(step.optimizer, type) or not (
        step.optimizer is None or all(hasattr(step.optimizer, n) for n in OF_AN_OPTIMIZER)
    ):
        raise InputError(
            f"the optimizer of {step.called} is {shown(step.optimizer)}; expected a "
            "torch.optim.Optimizer, such as SGD(model.parameters(), lr=0.1)"
        )
    if step.loss is None and (step.optimizer is not None or step.target is not None):
        raise InputError("a target or an optimizer needs a loss; give loss=nn.MSELoss()")
    if step.optimizer is None or not isinstance(step.model, nn.Module):
        return
    own = {id(p) for p in step.model.parameters()}
    held = {id(p) for group in step.optimizer.param_groups for p in group["params"]}
    if not own & held:
        raise InputError(
            f"the optimizer holds none of the parameters of {step.called}; make it from "
            "model.parameters()"
        )


@contextmanager
def _explained(step: Step, what: str) -> Iterator[None]:
    """What the user's program raises, as one error that says where."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        first = str(error).strip().splitlines() or [""]
        raise InputError(
            f"{what} of {step.called} raised {type(error).__name__}: {first[0]}"
        ) from error


def _run(step: Step, what: str, run: Callable[[], Any]) -> Any:
    with _explained(step, what):
        return run()


def _losses(step: Step, output: Any) -> list[Tensor]:
    if step.loss is None:
        return []
    given = (output,) if step.target is None else (output, step.target)
    came = _run(step, "the loss", lambda: step.loss(*given))  # type: ignore[misc]
    losses = list(came.values()) if isinstance(came, Mapping) else came
    losses = list(losses) if isinstance(losses, list | tuple) else [losses]
    for loss in losses:
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise InputError(f"the loss is {shape}, expected one number; reduce it to its mean")
    if not losses:
        raise InputError("the loss is empty, expected one number")
    return losses


def _arguments(step: Step) -> Any:
    """A single argument is itself; several are told apart by position or keyword."""
    if len(step.inputs) == 1 and not step.keywords:
        return step.inputs[0]
    return {str(i): a for i, a in enumerate(step.inputs)} | dict(step.keywords or {})


def _given(step: Step) -> Iterator[tuple[str, Tensor]]:
    """What the step begins from: inputs, target, parameters, buffers, the optimizer's state."""
    yield from _inputs(step)
    yield from ((n, t) for n, t in leaves_of("target", step.target) if isinstance(t, Tensor))
    if isinstance(step.model, nn.Module):
        yield from step.model.named_parameters(remove_duplicate=False)
        yield from step.model.named_buffers(remove_duplicate=False)
    for n, p in _parameters(step).items():
        if p.grad is not None:
            yield f"{n}.grad before", p.grad
    yield from _state(step)


def _inputs(step: Step) -> Iterator[tuple[str, Tensor]]:
    yield from ((n, t) for n, t in leaves_of("input", _arguments(step)) if isinstance(t, Tensor))


def _parameters(step: Step) -> dict[str, nn.Parameter]:
    return dict(step.model.named_parameters()) if isinstance(step.model, nn.Module) else {}


def options_of(step: Step) -> dict[str, dict[str, Any]]:
    """The optimizer's settings of each parameter, by name, and the class as "class". Numbers that
    the optimizer keeps as attributes of its own are settings, too."""
    if step.optimizer is None:
        return {}
    names = {id(p): n for n, p in _parameters(step).items()}
    kind = type(step.optimizer)
    own = {n: v for n, v in plain_attributes(step.optimizer).items() if not n.startswith("_")}
    known = {"class": f"{kind.__module__}.{kind.__qualname__}"} | own
    return {
        names[id(p)]: known | _settings(group)
        for group in step.optimizer.param_groups
        for p in group["params"]
        if id(p) in names
    }


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in group.items() if key != "params"}
    return {key: as_written(value) if is_rate(value) else value for key, value in own.items()}


def _state(step: Step) -> Iterator[tuple[str, Tensor]]:
    """fc1.weight.exp_avg and the like."""
    if step.optimizer is None:
        return
    names = {id(p): n for n, p in _parameters(step).items()}
    for p, state in step.optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor) and id(p) in names:
                yield f"{names[id(p)]}.{key}", value


def _results(recorder: Recorder, name: str, value: Any) -> None:
    for at, leaf in leaves_of(name, value):
        if isinstance(leaf, Tensor):
            recorder.record.results[at] = recorder.ref(leaf.resolve_conj())
            if not leaf.requires_grad:
                recorder.record.cut = {*(recorder.record.cut or ()), at}
        elif is_number(leaf):
            source = source_of(recorder.record, recorder.snapshots, leaf)
            if source is None:
                source = recorder.ref(copied(leaf))
                recorder.record.outside.add(at)
            recorder.record.results[at] = source
        elif leaf is not None:
            recorder.record.others[at] = leaf


def _plain(step: Step) -> dict[str, Any]:
    """Numbers and texts that are plain attributes of the model."""
    modules = step.model.named_modules() if isinstance(step.model, nn.Module) else ()
    return {
        f"{path}.{name}".lstrip("."): value
        for path, module in modules
        for name, value in (plain_attributes(module) | {CLASS: _class_of(module)}).items()
    }


def _class_of(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _attributes(step: Step) -> Iterator[tuple[str, Tensor]]:
    """Tensors that are plain attributes of the model."""
    if isinstance(step.model, nn.Module):
        yield from ((name, tensor) for name, _, _, tensor in tensor_attributes(step.model))


def _updated(recorder: Recorder, step: Step, attributes: Container[str]) -> None:
    """What the step has changed: parameters, buffers, these attributes, the optimizer's state."""
    record = recorder.record
    named = [*_state(step), *_inputs(step)]
    named += [(name, tensor) for name, tensor in _attributes(step) if name in attributes]
    if isinstance(step.model, nn.Module):
        named += [*step.model.named_parameters(), *step.model.named_buffers()]
    for name, tensor in named:
        ref = recorder.ref(tensor)
        was = record.given.get(name)
        if was is None or was.place != ref.place:
            record.results[f"new {name}"] = ref
            # whoever puts the model back writes into this memory
            recorder.snapshots.after_writing(recorder.snapshots.before_writing(tensor))
