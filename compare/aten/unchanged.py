"""A look at a module must not move it: whatever a step changes is put back afterwards."""

import copy
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torch_parity.compare.aten.leaves import with_tensors
from torch_parity.compare.aten.plain_state import plain_state, remembered

PLAIN = (bool, int, float, str, type(None))


@contextmanager
def unchanged(module: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> Iterator[None]:
    """Parameters, buffers, gradients, modes, plain attributes (a counter, a tensor), optimizer
    state and generators as they were, also when the body raises."""
    buffers = [(m, n, b) for _, m, n, b in (*named_buffers(module), *tensor_attributes(module))]
    containers = [*container_attributes(module)]
    contents = [(c, copy.copy(c)) for _, _, value in containers for c in _nested(value)]
    held = (t for _, _, value in containers for t in tensors_held_in(value))
    kept = (*module.parameters(), *(b for _, _, b in buffers), *held)
    values = [(t, t.detach().clone()) for t in kept]
    attributes = [(m, plain_attributes(m)) for m in module.modules()]
    known: set[int] = set()
    hidden = [(m, n, v, remembered(v, known)) for _, m, n, v in plain_state(module)]
    gradients = [(p, p.grad) for p in module.parameters()]
    parameters = [
        (m._parameters, {**m._parameters})
        for m in module.modules()
        if isinstance(m._parameters, dict)  # a scripted module has another, which nothing replaces
    ]
    state = None if optimizer is None else {p: _copied(s) for p, s in optimizer.state.items()}
    own = {} if optimizer is None else own_attributes(optimizer)
    drawn = generators()
    if optimizer is not None:
        set_own_attributes(optimizer, deep_copy(own, module.parameters()))
    for p, gradient in gradients:
        p.grad = None if gradient is None else gradient.clone()  # backward adds to it in place
    try:
        yield
    finally:
        there = {(m, name) for m, name, _ in buffers}
        for m, name in [(m, name) for _, m, name, _ in tensor_attributes(module)]:
            if (m, name) not in there:  # a cache that the step has made
                del vars(m)[name]
        for m, name, buffer in buffers:
            setattr(m, name, buffer)
        for of_module, were in parameters:  # one may have been put in another's place
            of_module.update(were)
        for m, name, value in containers:
            vars(m)[name] = value
        for m, name, value, restore in hidden:
            vars(m)[name] = value
            restore()
        for container, content in contents:
            container.clear()
            container.extend(content) if isinstance(container, list) else container.update(content)
        with torch.no_grad():
            for tensor, was in values:
                # writing what is there already would spoil graphs that the caller still holds
                if not _equal(tensor, was):
                    tensor.copy_(was)
        for m, plain in attributes:
            vars(m).update(plain)
        for p, gradient in gradients:
            p.grad = gradient
        if optimizer is not None and state is not None:
            optimizer.state.clear()
            optimizer.state.update(state)
            set_own_attributes(optimizer, own)
        set_generators(drawn)


def own_attributes(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Numbers and tensors that an optimizer keeps beside its state: a counter, slow weights."""
    known = ("state", "param_groups", "defaults")
    return {n: v for n, v in vars(optimizer).items() if n not in known and _is_data(v)}


def deep_copy(value: Any, params: Iterable[nn.Parameter]) -> Any:
    """A deep copy, in which the parameters stay themselves."""
    return copy.deepcopy(value, {id(p): p for p in params})


def set_own_attributes(optimizer: torch.optim.Optimizer, attributes: dict[str, Any]) -> None:
    """Those, and no others."""
    for name in own_attributes(optimizer).keys() - attributes.keys():
        delattr(optimizer, name)
    vars(optimizer).update(attributes)


def _is_data(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_data, value))
    if isinstance(value, dict):
        return all(map(_is_data, value.values()))
    return isinstance(value, Tensor) or type(value) in PLAIN


def module_of(function: Any) -> nn.Module:
    """Of a plain function nothing can be put back but the generators."""
    return function if isinstance(function, nn.Module) else nn.Module()


@contextmanager
def on_copies(module: nn.Module) -> Iterator[None]:
    """The module has copies of its tensors meanwhile, so that a record of what a step wrote into
    them outlasts the step; for modules that are no part of the model (a loss)."""
    params = [(p, p.data) for p in module.parameters()]
    buffers = [(m, n, b) for _, m, n, b in (*named_buffers(module), *tensor_attributes(module))]
    with unchanged(module):
        try:
            for p, data in params:
                p.data = data.clone()
            for m, name, buffer in buffers:
                setattr(m, name, buffer.detach().clone().requires_grad_(buffer.requires_grad))
            yield
        finally:
            for p, data in params:
                p.data = data
            for m, name, buffer in buffers:
                setattr(m, name, buffer)


Held = tuple[str, nn.Module, str, Tensor]  # name in the model, the module, name there, tensor


def named_buffers(model: nn.Module) -> Iterator[Held]:
    """Every buffer; tied ones have several names."""
    for path, module in model.named_modules(remove_duplicate=False):
        for name, buffer in module.named_buffers(recurse=False):
            yield f"{path}.{name}".lstrip("."), module, name, buffer


def tensor_attributes(model: nn.Module) -> Iterator[Held]:
    """Tensors that modules keep as plain attributes: a state that is no buffer, a table, a
    cache."""
    for path, module in model.named_modules(remove_duplicate=False):
        for name, value in vars(module).items():
            if type(value) is Tensor:
                yield f"{path}.{name}".lstrip("."), module, name, value


Container = list[Any] | dict[Any, Any]


def container_attributes(model: nn.Module) -> Iterator[tuple[nn.Module, str, Any]]:
    """Lists, tuples and dicts of tensors and numbers that modules keep as plain attributes; those
    of nn.Module itself begin with an underscore."""
    for module in model.modules():
        for name, value in vars(module).items():
            kept = isinstance(value, list | tuple | dict) and not name.startswith("_")
            if kept and _is_data(value):
                yield module, name, value


def tensors_held_in(value: Any) -> Iterator[Tensor]:
    """The tensors in lists, tuples and dicts."""
    if isinstance(value, dict):
        value = list(value.values())
    for x in value if isinstance(value, list | tuple) else ():
        if isinstance(x, Tensor):
            yield x
        else:
            yield from tensors_held_in(x)


def _nested(value: Any) -> Iterator[Container]:
    """The value and every list and dict in it."""
    if isinstance(value, list | dict):
        yield value
    inside = value.values() if isinstance(value, dict) else value
    for x in inside if isinstance(value, list | tuple | dict) else ():
        yield from _nested(x)


def plain_attributes(module: object) -> dict[str, Any]:
    """Numbers, texts and modes that a module keeps as attributes of its own."""
    return {name: value for name, value in vars(module).items() if type(value) in PLAIN}


def _equal(tensor: Tensor, was: Tensor) -> bool:
    """Sparse tensors cannot be compared, nor those without memory."""
    try:
        return torch.equal(tensor, was)
    except RuntimeError:  # NotImplementedError is one
        return False


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    return {key: v.clone() if isinstance(v, Tensor) else v for key, v in state.items()}


@dataclass(frozen=True)
class Generators:
    """The states of the generators of torch (the CPU's, and those of the GPUs), Python and
    NumPy."""

    on_cpu: Tensor
    on_gpus: list[Tensor]
    of_python: Any
    of_numpy: Any


def generators() -> Generators:
    """As they are now."""
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    on_gpus = torch.cuda.get_rng_state_all() if started else []
    of_numpy = np.random.get_state()  # noqa: NPY002 (the one that programs draw from)
    return Generators(torch.get_rng_state(), on_gpus, random.getstate(), of_numpy)


def set_generators(states: Generators) -> None:
    """Put them back."""
    torch.set_rng_state(states.on_cpu)
    if states.on_gpus:
        torch.cuda.set_rng_state_all(states.on_gpus)
    random.setstate(states.of_python)
    np.random.set_state(states.of_numpy)  # noqa: NPY002


def fresh(value: Any) -> Any:
    """Copies of tensors: what is done to them in place, and their gradients, reach nobody else."""
    return with_tensors(value, _fresh)


def _fresh(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.detach().clone().requires_grad_(x.requires_grad)
    return x.copy()
