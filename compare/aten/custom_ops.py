"""Operators that a program defines with torch.library.custom_op: seen as the calls of their kernel.

torch hands such an operator to the recorder as one call, for which no bound is known. Its kernel
is a Python function, so it runs here with the recorder on, as if it stood in the program itself.
Where it computes with anything but torch's calls (NumPy, Triton), the operator stays one call.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from torch_parity.compare.aten.snapshots import same_bytes
from torch_parity.compare.torch_private import TorchDispatchMode, flattened, python_kernel_of

if TYPE_CHECKING:
    from torch_parity.compare.aten.recorder import Recorder

OF_TORCH = {"aten", "prims", "prim"}  # these are judged as what they are
BROUGHT_IN = "lift_fresh"  # by torch.from_numpy and torch.tensor
Place = tuple[int, int]


def kernel_of(func: Any, args: Any, kwargs: Any) -> Callable[..., Any] | None:
    """The kernel of a custom operator, for the device that it is called on."""
    if func.namespace in OF_TORCH:
        return None
    tensors = (t for t in flattened((args, kwargs)) if isinstance(t, Tensor))
    return python_kernel_of(func, next((t.device.type for t in tensors), "cpu"))


def seen_through(
    recorder: "Recorder",
    kernel: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    written: set[int | None],
) -> tuple[Any, bool]:
    """What the kernel returns, and whether recorded calls made all of it.

    If they did not, they are taken out of the record. written is the memory of the arguments that
    the operator writes into; the snapshots hold what was there before.
    """
    calls, begin = recorder.record.calls, len(recorder.record.calls)
    watch = _Watch(recorder)
    for number in written:
        if number is not None:
            watch.keep(recorder.snapshots.place_of(number))
    with watch:
        out = kernel(*args, **kwargs)
    made = {ref.place for call in calls[begin:] for ref in call.outputs}
    brought_in = any(call.operation == BROUGHT_IN for call in calls[begin:])
    returned = [recorder.ref(t).place for t in flattened(out) if isinstance(t, Tensor)]
    seen = made.issuperset(returned) and watch.nothing_else_wrote() and not brought_in
    if not seen:
        recorder.forget_calls(begin)
    return out, seen


class _Watch(TorchDispatchMode):
    """Passes each call on to the recorder, and keeps what it wrote."""

    def __init__(self, recorder: "Recorder") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recorder = recorder
        self._kept: dict[Place, torch.UntypedStorage] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        calls = self._recorder.record.calls
        before = len(calls)
        out = self._recorder.__torch_dispatch__(func, types, args, kwargs)
        for call in calls[before:]:
            for ref in call.outputs:
                if not ref.unjudged:
                    self.keep(ref.place)
        return out

    def keep(self, place: Place) -> None:
        """What is in this memory now."""
        if place not in self._kept:
            memory = self._recorder.snapshots.memory(*place)
            self._kept[place] = memory.clone()  # type: ignore[no-untyped-call]

    def nothing_else_wrote(self) -> bool:
        """Whether all memory that was kept is still as it was, or was until a call wrote it."""
        memory = self._recorder.snapshots.memory
        return all(same_bytes(kept, memory(*place)) for place, kept in self._kept.items())
