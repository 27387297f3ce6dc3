"""Calls of a user's torch.autograd.Function, seen as one operation each."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from torch_parity.compare.aten.record import FunctionCall
from torch_parity.compare.torch_private import flattened, mapped

if TYPE_CHECKING:
    from torch_parity.compare.aten.recorder import Recorder


@contextmanager
def functions_seen(recorder: "Recorder") -> Iterator[None]:
    """While open, each call of a custom Function is kept in the record, with what its backward was
    given and gave.

    torch has no hook for this: Function.apply is replaced, and put back.
    """
    own = torch.autograd.Function.__dict__["apply"]

    def original(cls: type, *args: Any, **kwargs: Any) -> Any:
        return own.__get__(None, cls)(*args, **kwargs)  # written in Python or in C

    def apply(cls: type, *args: Any, **kwargs: Any) -> Any:
        if kwargs or not any(isinstance(a, Tensor) for a in args):
            return original(cls, *args, **kwargs)
        call = _begun(recorder, cls.__name__, args)
        recorder.functions.append(call.index)
        try:
            out = original(cls, *args)
        finally:
            recorder.functions.pop()
        _ended(recorder, call, out)
        return out

    torch.autograd.Function.apply = classmethod(apply)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        torch.autograd.Function.apply = own  # type: ignore[method-assign]


def _begun(recorder: "Recorder", name: str, args: tuple[Any, ...]) -> FunctionCall:
    record = recorder.record
    module, line = recorder.where()
    needs = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
    call = FunctionCall(
        len(record.functions),
        name,
        mapped(recorder.ref, args),
        needs,
        module,
        line,
        len(record.calls),
    )
    record.functions.append(call)
    return call


def _ended(recorder: "Recorder", call: FunctionCall, out: Any) -> None:
    call.end = len(recorder.record.calls)
    tensors = [t for t in flattened(out) if isinstance(t, Tensor)]
    call.outputs = tuple(recorder.ref(t) for t in tensors)
    node = next((t.grad_fn for t in tensors if t.grad_fn is not None), None)
    if node is None:
        return

    def keep(gradients: Any, upstream: Any) -> None:
        call.gradients = tuple(recorder.ref(g) for g in gradients)
        call.upstream = tuple(recorder.ref(g) for g in upstream)

    node.register_hook(keep)
