"""Hooks on every leaf of a torch module: what it was given, what it made, what came back.

Copies, never the tensors themselves: an in-place operation or the next update would change them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.nn.modules.dropout import _DropoutNd

from torch_parity.compare.errors import InputError
from torch_parity.torch_ref.ops.dropout import recover_mask

# A place in autograd's graph: gradients that arrive at the same edge are added up.
Edge = tuple[Any, int]


@dataclass(frozen=True)
class Call:
    """One call of a leaf module (or of the loss), its tensors by name.

    arrived are the edges by which its inputs came.
    """

    name: str
    module: Any
    inputs: tuple[str, ...]
    arrived: tuple[Edge | None, ...]
    outputs: tuple[str, ...] = ()
    mask: str | None = None


class Recorder(ExitStack):
    """While open, records the calls of a module's leaves, by the names that capture.py lists.

    states are generator states by name of dropout call: each is put in place before that call, so
    that it draws the mask that another module drew from there.
    """

    def __init__(self, module: nn.Module, states: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.module = module
        self.shared = states
        self.states: dict[str, Tensor] = {}
        self.given: dict[str, np.ndarray] = {}
        self.made: dict[str, np.ndarray] = {}
        self.edges: dict[str, Edge | None] = {}
        self.lowered: list[str] = []
        self.calls: list[Call] = []
        # a module that is a leaf itself has no name of its own: its output is the output
        self.leaves = {m: n or "output" for n, m in module.named_modules() if not [*m.children()]}
        self._names_used: Counter[str] = Counter()
        self._at: dict[tuple[Any, ...], str] = {}
        self._opened: list[Call] = []

    def __enter__(self) -> Self:
        for m in self.leaves:
            enter = m.register_forward_pre_hook(self._enter, with_kwargs=True)
            # before any other hook: what those change is no longer what the module made
            leave = m.register_forward_hook(self._leave, prepend=True, with_kwargs=True)
            self.enter_context(enter)
            self.enter_context(leave)
        for name, p in self.module.named_parameters():
            self.put(self.given, name, p)
            if p.grad is not None and p.grad.any():
                self.put(self.given, f"previous_{name}.grad", p.grad)
            if p.requires_grad:
                keep = partial(self._parameter_gradient, f"{name}.grad")
                handle = p.register_post_accumulate_grad_hook(keep)  # type: ignore[no-untyped-call]
                self.enter_context(handle)
        for name, buffer in self.module.named_buffers():
            self.put(self.given, name, buffer)
        return self

    def value(self, name: str) -> np.ndarray:
        """A tensor of the forward pass: as it was given where it is also updated."""
        return self.given[name] if name in self.given else self.made[name]

    def numbered(self, name: str) -> str:
        """The name of the next call: fc1, fc1@2..."""
        self._names_used[name] += 1
        n = self._names_used[name]
        return name if n == 1 else f"{name}@{n}"

    def put(self, into: dict[str, np.ndarray], name: str, tensor: Tensor) -> None:
        """Keep a copy.

        Raises:
            InputError: the name is taken.
        """
        if name in into:
            raise InputError(f"capture: two tensors would be called {name}; rename a module or key")
        into[name] = numbers(tensor)
        if tensor.is_floating_point() and tensor.dtype not in (torch.float32, torch.float64):
            self.lowered.append(name)

    def keep(self, into: dict[str, np.ndarray], name: str, tensor: Tensor) -> None:
        """A copy of a tensor of the forward pass, and later of its gradient."""
        self.put(into, name, tensor)
        self._at[_place(tensor)] = name
        self.edges[name] = edge(tensor)
        if tensor.requires_grad:
            into_gradients = partial(self._gradient, f"{name}.grad")
            self.enter_context(tensor.register_hook(into_gradients))  # type: ignore[no-untyped-call]

    def known(self, tensor: Tensor) -> str | None:
        """The name under which these numbers, in this place, were recorded last."""
        name = self._at.get(_place(tensor))
        same = name is not None and np.array_equal(self.value(name), numbers(tensor), True)
        return name if same else None

    def name_of(self, name: str, tensor: Tensor) -> str:
        """The name under which it is known, or else this one, under which it is kept."""
        found = self.known(tensor)
        if found is None:
            self.keep(self.made, name, tensor)
        return found or name

    def _gradient(self, name: str, gradient: Tensor | None) -> None:
        if gradient is not None:
            self.made.pop(name, None)  # from a backward inside the forward: the loss's comes last
            self.put(self.made, name, gradient)

    def _parameter_gradient(self, name: str, p: Tensor) -> None:
        self._gradient(name, p.grad)

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        name = self.numbered(self.leaves[module])
        tensors = dict(named_tensors(arguments(args, kwargs), f"{name}.input"))
        inputs = tuple(self.name_of(n, t) for n, t in tensors.items())
        arrived = tuple(edge(t) for t in tensors.values())
        self._opened.append(Call(name, module, inputs, arrived))
        if isinstance(module, _DropoutNd) and module.training and tensors:
            device = next(iter(tensors.values())).device
            if name in self.shared:
                _set_state(device, self.shared[name])
            self.states[name] = _state(device)

    def _leave(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        # a forward that raised, and was caught by its caller, has left its call open
        while (call := self._opened.pop()).module is not module:
            pass
        mask = None
        if type(module) is nn.Dropout and call.name in self.states:
            mask = f"{call.name}.mask"
            self.put(self.given, mask, _mask(module.p, self.states[call.name], output))
        outputs = dict(named_tensors(output, call.name))
        for name, tensor in outputs.items():
            self.keep(self.made, name, tensor)
        self.calls.append(replace(call, outputs=tuple(outputs), mask=mask))


def numbers(tensor: Tensor) -> np.ndarray:
    """A copy on the CPU. What NumPy does not know (bfloat16), or the judge has no bounds for
    (float16), is widened to float32; truth values are 0 and 1."""
    copy = tensor.detach().to("cpu", copy=True)
    if copy.is_floating_point() and copy.dtype != torch.float64:
        copy = copy.float()
    array: np.ndarray = copy.to(torch.uint8).numpy() if copy.dtype == torch.bool else copy.numpy()
    return array


def named_tensors(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested tuples, lists and dicts: name, name.0, name.key..."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from named_tensors(item, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from named_tensors(item, f"{name}.{i}")


def arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A single argument is itself; several are told apart by position or keyword."""
    if len(args) == 1 and not kwargs:
        return args[0]
    return {str(i): a for i, a in enumerate(args)} | dict(kwargs)


def edge(tensor: Tensor) -> Edge | None:
    """Where in autograd's graph the tensor's gradient arrives."""
    if not tensor.requires_grad:
        return None
    found = get_gradient_edge(tensor)
    return found.node, found.output_nr


def _place(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def _state(device: torch.device) -> Tensor:
    if device.type == "cpu":
        return torch.get_rng_state()
    state: Tensor = torch.get_device_module(device).get_rng_state(device)
    return state


def _set_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cpu":
        torch.set_rng_state(state)
    else:
        torch.get_device_module(device).set_rng_state(state, device)


def _mask(p: float, state: Tensor, like: Tensor) -> Tensor:
    """recover_mask, on whatever device the dropout drew."""
    if like.device.type == "cpu":
        return recover_mask(p, state, like)
    with torch.random.fork_rng(devices=[like.device], device_type=like.device.type):
        _set_state(like.device, state)
        return nn.functional.dropout(torch.ones_like(like, requires_grad=False), p)
