"""torch's private interfaces, in one place: a torch that lacks one leaves the call without a bound
(or without a record), and nothing else breaks.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode as TorchDispatchMode

# -------------------------------------------------------------- bounded numbers: compare.bounds


def wrapper_tensor(
    cls: type[torch.Tensor],
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    dtype: torch.dtype,
    requires_grad: bool,
) -> Any:
    """A tensor without memory of its own, of a subclass of torch.Tensor.

    Raises:
        NotImplementedError: this torch cannot make one.
    """
    make = getattr(torch.Tensor, "_make_wrapper_subclass", None)
    if make is None:
        raise NotImplementedError("this torch has no Tensor._make_wrapper_subclass")
    return make(cls, shape, strides=strides, dtype=dtype, requires_grad=requires_grad)


def without_torch_function() -> Any:
    """The __torch_function__ of a subclass that sees ATen calls only."""
    return getattr(torch._C, "_disabled_torch_function_impl", None)


def decomposition_of(overload: Any) -> Callable[..., Any] | None:
    """A function that computes an ATen overload by simpler ones: from torch's table, or the one
    that the overload itself is made of."""
    try:
        import torch._refs  # noqa: F401 (it adds its own to the table)
        from torch._decomp import decomposition_table
    except ImportError:
        table: Any = {}
    else:
        table = decomposition_table
    found = table.get(overload)
    if found is not None:
        return found
    if getattr(overload, "_can_decompose", lambda: False)():
        return overload.decompose
    return getattr(overload, "impl_aten", None)  # of torch's prims


def overload_name(overload: Any) -> str:
    """aten::add.Tensor, or aten::add where it is the default overload."""
    schema = overload._schema
    return f"{schema.name}.{schema.overload_name}" if schema.overload_name else schema.name


def overloads_of(overload: Any, name: str) -> dict[str, Any]:
    """Every overload of another function in the same namespace, by name; none if it has none."""
    space = getattr(torch.ops, overload._schema.name.split("::")[0])
    packet = getattr(space, name, None)
    return {} if packet is None else {each: getattr(packet, each) for each in packet.overloads()}


def arguments_of(overload: Any) -> list[Any]:
    """The arguments of an overload's schema: name, type, and which memory each reads and writes."""
    return list(overload._schema.arguments)


def returns_of(overload: Any) -> list[Any]:
    """The returned values of an overload's schema."""
    return list(overload._schema.returns)


def written_names(overload: Any) -> list[str]:
    """The names of the arguments that an overload writes."""
    return [a.name for a in arguments_of(overload) if a.alias_info and a.alias_info.is_write]


def fresh_returns(overload: Any) -> int:
    """How many returned values are not arguments that were written."""
    return sum(not (r.alias_info and r.alias_info.is_write) for r in returns_of(overload))


def is_view(overload: Any) -> bool:
    """It always returns the memory of its argument, seen in another shape. (aten::to and
    aten::reshape may copy, and are made of others.)"""
    composite = getattr(overload, "_can_decompose", lambda: False)()
    return bool(getattr(overload, "is_view", False)) and not composite


def is_random(overload: Any) -> bool:
    """It draws random numbers."""
    return torch.Tag.nondeterministic_seeded in getattr(overload, "tags", ())


def flattened(tree: Any) -> list[Any]:
    """The leaves of nested tuples, lists and dictionaries."""
    if isinstance(tree, list | tuple):
        return [leaf for part in tree for leaf in flattened(part)]
    if isinstance(tree, dict):
        return [leaf for part in tree.values() for leaf in flattened(part)]
    return [tree]


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same nested tuples, lists and dictionaries, with each leaf replaced."""
    if isinstance(tree, list):
        return [mapped(function, part) for part in tree]
    if isinstance(tree, tuple):
        return tuple(mapped(function, part) for part in tree)
    if isinstance(tree, dict):
        return {name: mapped(function, part) for name, part in tree.items()}
    return function(tree)


# ------------------------------------------------------------------ the recorder (compare.aten)


def current_node() -> Any:
    """The node of autograd's graph whose backward is running; None outside, or unknown."""
    of_torch = getattr(torch._C, "_current_autograd_node", None)
    return None if of_torch is None else of_torch()


def next_sequence() -> int | None:
    """The number that autograd's next node will get; None if torch does not say."""
    autograd = getattr(torch._C, "_autograd", None)
    of_torch = getattr(autograd, "_get_sequence_nr", None)
    return None if of_torch is None else int(of_torch())


def sequence_of(node: Any) -> int | None:
    """The number of a node of autograd's graph; None if torch does not say."""
    of_node = getattr(node, "_sequence_nr", None)
    return None if of_node is None else int(of_node())


def dispatched_overload(space: str, function: str, overload: str) -> Any:
    """The overload of an operation that torch's dispatcher knows; None if there is none. (torch.ops
    holds TorchScript's functions as well, which write files and print.)"""
    packet: Any = getattr(getattr(torch.ops, space), function, None)
    if type(packet).__name__ != "OpOverloadPacket":
        return None
    found = getattr(packet, overload, None) if overload in packet.overloads() else None
    known = getattr(torch._C, "_dispatch_has_kernel", None)
    if found is None or known is None or not known(overload_name(found)):
        return None
    return found


class WeakStorage:
    """Keeps a storage's address from being used again, but not its memory. On a torch that has no
    such reference it keeps the memory as well."""

    def __init__(self, storage: Any) -> None:
        try:
            from torch.multiprocessing.reductions import StorageWeakRef
        except ImportError:
            self._held: Any = storage
        else:
            self._held = StorageWeakRef(storage)  # type: ignore[no-untyped-call]

    @property
    def expired(self) -> bool:
        """Whether the memory is free again."""
        of_torch = getattr(self._held, "expired", None)
        return of_torch is not None and bool(of_torch())


def is_zero_tensor(tensor: torch.Tensor) -> bool:
    """Autograd's stand-in for zeros, which has no memory."""
    of_torch = getattr(torch, "_is_zerotensor", None)
    return of_torch is not None and bool(of_torch(tensor))


# ------------------------------------------------------------------------------- torch.compile


def compiled_attribute(module: torch.nn.Module) -> str | None:
    """The attribute that holds a module's compiled code; None if it is not compiled."""
    if getattr(module, "_compiled_call_impl", None) is not None:
        return "_compiled_call_impl"
    return "forward" if hasattr(module, "_orig_mod") and hasattr(module, "dynamo_ctx") else None


def is_compiled_function(function: Any) -> bool:
    """torch.compile made it of another function."""
    return hasattr(function, "_torchdynamo_orig_callable")


def is_compiled_node(node: Any) -> bool:
    """A node of autograd's graph whose backward is compiled code."""
    return str(node.name()).startswith("CompiledFunctionBackward")


def compile_counts() -> tuple[int, int]:
    """How many graphs torch.compile has made so far, and how often a graph was broken."""
    try:
        from torch._dynamo.utils import counters
    except ImportError:
        return 0, 0
    return counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())


@contextmanager
def compiled_entries(entered: Callable[[], None]) -> Iterator[None]:
    """While open, entered() is called whenever compiled code begins."""
    frames = sys.modules.get("torch._dynamo.eval_frame")
    original = getattr(frames, "_callback_from_stance", None)
    if frames is None or original is None:  # nothing can be compiled yet, or torch does not say
        yield
        return

    def callback(of_torch: Any) -> Any:
        if callable(of_torch):
            entered()
        return original(of_torch)

    frames._callback_from_stance = callback  # type: ignore[attr-defined]
    try:
        yield
    finally:
        frames._callback_from_stance = original  # type: ignore[attr-defined]


# ------------------------------------------------------- operators of the user: compare.aten


def python_kernel_of(overload: Any, device: str) -> Callable[..., Any] | None:
    """The Python function that computes an operator of torch.library.custom_op on a device."""
    try:
        from torch._library.custom_ops import OPDEFS
    except ImportError:
        return None
    defined = OPDEFS.get(overload._schema.name)
    kernels = getattr(defined, "_backend_fns", {})
    found: Callable[..., Any] | None = kernels.get(device) or kernels.get(None)
    return found
