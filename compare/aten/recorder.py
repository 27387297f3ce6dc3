"""Sees every ATen call while it is open, and keeps it with its tensors, module and source line."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from torch_parity.compare.aten.conjugates import (
    any_conjugated,
    in_memory,
    is_conjugated,
)
from torch_parity.compare.aten.constants import in_double, is_shared, number_in_double
from torch_parity.compare.aten.custom_functions import functions_seen
from torch_parity.compare.aten.custom_ops import kernel_of, seen_through
from torch_parity.compare.aten.draws import Draws
from torch_parity.compare.aten.leaves import leaves_of
from torch_parity.compare.aten.record import Call, Phase, Record, operation_of
from torch_parity.compare.aten.snapshots import Snapshots, unreadable
from torch_parity.compare.aten.users_line import users_line
from torch_parity.compare.aten.widened import (
    WIDE,
    beside_float64,
    casts_to_float32,
    draws_float32,
    wider_memory,
)
from torch_parity.compare.aten.written import written_by
from torch_parity.compare.torch_private import (
    TorchDispatchMode,
    current_node,
    flattened,
    is_view,
    mapped,
    next_sequence,
    sequence_of,
)


class Recorder(TorchDispatchMode):
    """While open, records the ATen calls of a step into `record`.

    draws are the random numbers of another record, to be drawn again here. With doubled, what the
    program makes in float32 is made in float64, and constants have more digits there (see Step).
    """

    def __init__(
        self,
        module: Any,
        draws: Draws | None = None,
        snapshots: Snapshots | None = None,
        doubled: bool = False,
        constants: Mapping[float, float] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.snapshots = snapshots or Snapshots()
        self.record = Record(self.snapshots)
        self._draws = draws
        self._doubled, self._constants = doubled, constants or {}
        self._phase: Phase = "forward"
        named = module.named_modules() if isinstance(module, nn.Module) else ()
        self._paths = {m: path for path, m in named}
        self._visits: Counter[str] = Counter()
        self._stack: list[tuple[str, int]] = []
        self._forward_of: dict[int, int] = {}  # a node's sequence number -> its forward call
        self.functions: list[int] = []  # the custom Functions that are running
        self._hooks = ExitStack()
        self.is_on = False
        self.own_tensors: list[Tensor] = []
        self._own: dict[int, Tensor] = {}  # those that the step names, and those that were seen
        if isinstance(module, nn.Module):
            self.own_tensors = [*module.parameters(), *module.buffers()]

    def __enter__(self) -> "Recorder":
        self.is_on = True
        enter = register_module_forward_pre_hook(self._enter_module)
        leave = register_module_forward_hook(self._leave_module, always_call=True)
        self._hooks.callback(enter.remove)
        self._hooks.callback(leave.remove)
        self._hooks.enter_context(functions_seen(self))
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: Any) -> None:
        self.is_on = False
        self._hooks.close()
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """Calls that are made in here belong to this phase."""
        before, self._phase = self._phase, phase
        try:
            yield
        finally:
            self._phase = before

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Without the recorder; what is written meanwhile into the model's own tensors is seen."""
        snapshots = self.snapshots
        self.__exit__(None, None, None)
        try:
            held = {n for t in self.own_tensors if (n := snapshots.before_writing(t)) is not None}
            yield
            for number in held:
                snapshots.after_perhaps_writing(number)
        finally:
            self.__enter__()

    def knows(self, tensors: Iterable[Tensor]) -> None:
        """Tensors that the step has names for."""
        self._own |= {id(t): t for t in tensors}

    def forget_calls(self, begin: int) -> None:
        """Take the calls from this one on out of the record."""
        del self.record.calls[begin:]
        self._forward_of = {n: call for n, call in self._forward_of.items() if call < begin}

    def ref(self, value: Any) -> Any:
        """A tensor's reference; anything else as it is."""
        return self.snapshots.ref(value) if isinstance(value, Tensor) else value

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "profiler":
            return func(*args, **kwargs)
        if operation_of(func) == "convert_element_type":  # of torch's prims: the same cast
            func, args, kwargs = torch.ops.aten._to_copy.default, args[:1], {"dtype": args[1]}
        written = written_by(func, args, kwargs)
        if self._doubled:
            args, kwargs = self._widened(func, args, kwargs, written)
        if operation_of(func) == "_conj" or any_conjugated((args, kwargs)):
            return self._on_conjugates(func, types, args, kwargs)
        return self._recorded(func, args, kwargs, written)

    def _recorded(
        self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], written: list[Tensor]
    ) -> Any:
        snapshots = self.snapshots
        seen_args, seen_kwargs = mapped(self.ref, args), mapped(self.ref, kwargs)
        # one storage may be written through several arguments, but only once by one call
        memory = {snapshots.before_writing(t) for t in written}
        self._see_unregistered(args)
        kernel = kernel_of(func, args, kwargs) if snapshots.live else None
        if kernel is None:
            out = func(*args, **kwargs)
        else:
            out, seen = seen_through(self, kernel, args, kwargs, memory)
            if seen:
                return out
        self.record.seeded = self.record.seeded or kwargs.get("generator") is not None
        if self._draws is not None:
            module = self._stack[-1][0] if self._stack else ""
            again = self._phase != "forward"
            out = self._draws.drawn_again(func, args, kwargs, out, module, again)
        for number in memory:
            snapshots.after_writing(number)
        self._keep(func, seen_args, dict(seen_kwargs), out, written)
        return out

    def _on_conjugates(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """A call on conjugated views: one that only makes another view, or one that reads them."""
        if is_view(func):
            out = func(*args, **kwargs)
            seen, named = mapped(self.ref, in_memory((args, kwargs)))
            self._keep(func, seen, dict(named), in_memory(out), [])
            return out
        if operation_of(func) == "clone":
            physical = torch.ops.aten._conj_physical.default
            return self._recorded(physical, (in_memory(args[0]),), {}, [])
        read = mapped(lambda x: x.clone() if is_conjugated(x) else x, (args, kwargs))
        return self.__torch_dispatch__(func, types, *read)

    def _see_unregistered(self, args: tuple[Any, ...]) -> None:
        """Tensors that the forward reads and that are trained, and that the model does not name."""
        for x in args if self._phase == "forward" else ():
            if isinstance(x, Tensor) and x.requires_grad and x.is_leaf and id(x) not in self._own:
                self._own[id(x)] = x
                self.record.unregistered.append(tuple(x.shape))

    def _widened(self, func: Any, args: Any, kwargs: Any, written: list[Tensor]) -> tuple[Any, Any]:
        """The arguments with which the call makes float64."""
        if self._constants:
            args, kwargs = mapped(lambda x: number_in_double(x, self._constants), (args, kwargs))
        if casts_to_float32(func, args, kwargs):
            return args, {**kwargs, "dtype": WIDE[kwargs["dtype"]]}
        if self._phase == "update":  # its counters are float32 in any precision
            return args, kwargs
        wide = torch.float64 if draws_float32(func, kwargs) else wider_memory(func, args, kwargs)
        if wide is not None:
            return args, {**kwargs, "dtype": wide}
        narrow = beside_float64(args, kwargs, written)
        found = {id(x): self._in_double(x) for x in narrow}
        return mapped(lambda x: found.get(id(x), x), (args, kwargs)) if found else (args, kwargs)

    def _in_double(self, tensor: Tensor) -> Any:
        if is_shared(tensor, self._constants):
            return in_double(tensor, self._constants)
        cast = torch.ops.aten._to_copy.default
        return self.__torch_dispatch__(cast, (), (tensor,), {"dtype": torch.float64})

    def _keep(
        self, func: Any, args: Any, kwargs: dict[str, Any], out: Any, written: list[Tensor]
    ) -> None:
        if isinstance(out, float):
            self.record.read[out] = args[0]
        returned = [t for t in flattened(out) if isinstance(t, Tensor)]
        unreturned = [t for t in written if not any(t is r for r in returned)]
        outputs = tuple(self.snapshots.ref(t) for t in (*returned, *unreturned))
        call = Call(len(self.record.calls), func, args, kwargs, outputs, self._phase)
        call.function = self.functions[-1] if self.functions else None
        self._place(call)
        self.record.calls.append(call)

    def _place(self, call: Call) -> None:
        """Where in the model and in the user's program the call was made."""
        node = current_node() if self._phase == "backward" else None
        number = sequence_of(node) if node is not None else None  # that of a first one is 0
        forward = self._forward_of.get(number) if number is not None else None
        if node is not None:
            call.node = str(node.name())
        if self._stack:  # in a backward pass: a forward that is computed again (checkpointing)
            call.module, call.visit = self._stack[-1]
            call.line = users_line()
        elif forward is not None:
            before = self.record.calls[forward]
            call.forward, call.module, call.visit = forward, before.module, before.visit
            call.line = before.line
        else:
            call.line = users_line()
        following = next_sequence() if torch.is_grad_enabled() else None
        if following is not None:
            self._forward_of.setdefault(following - 1, call.index)

    def where(self) -> tuple[str, str]:
        """The module that is running, and the user's line."""
        return (self._stack[-1][0] if self._stack else ""), users_line()

    def _enter_module(self, module: nn.Module, _: Any) -> None:
        path = self._paths.get(module, type(module).__name__)
        self._stack.append((path, self._visits[path]))
        self._visits[path] += 1

    def _leave_module(self, module: nn.Module, _: Any, output: Any) -> None:
        if not self._stack:
            return
        path, visit = self._stack.pop()
        if path and self._phase == "forward":
            self._name(f"{path}@{visit + 1}" if visit else path, output)

    def _name(self, name: str, output: Any) -> None:
        """A module's outputs, and their gradients when they arrive."""
        for at, tensor in leaves_of(name, output):
            if not isinstance(tensor, Tensor) or unreadable(tensor):
                continue
            self.record.named[at] = self.ref(tensor)
            if tensor.requires_grad:
                tensor.register_hook(partial(self._keep_gradient, at))  # type: ignore[no-untyped-call]

    def _keep_gradient(self, name: str, gradient: Tensor) -> None:
        self.record.named[f"{name}.grad"] = self.ref(gradient)
