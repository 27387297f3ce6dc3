"""What may be normalized: over which dimensions, with which parameters."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed, fits
from torch_parity.compare.aten.causes.side import Side
from torch_parity.compare.aten.record import Call
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.bounds.tensors import BoundedTensor

NORMS = {
    "native_layer_norm", "native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm",
    "_native_batch_norm_legit_no_training", "native_group_norm", "_fused_rms_norm", "batch_norm",
    "var", "var_mean", "std", "std_mean", "rsqrt", "sqrt", "pow", "lerp",
}  # fmt: skip
BATCH_NORMS = {"native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm"}


@dataclass(frozen=True)
class Setting:
    """What is normalized, over which dimensions, with which parameters."""

    x: BoundedTensor
    dims: tuple[int, ...]
    parameters: tuple[BoundedTensor, ...]  # weight, bias: shaped to be applied
    running: tuple[BoundedTensor, ...] = ()  # mean, variance


def settings(case: Case) -> Iterator[Setting]:
    """What may be normalized: as the calls of either side say, else every common tensor."""
    seen: list[Setting] = []
    for side in (case.a, case.b):
        for call in side.calls:
            found = _of_call(side, call)
            if found is not None and not any(fits(found.x, s.x) for s in seen):
                seen.append(found)
                yield found
    if seen or not any(c.operation in NORMS for side in (case.a, case.b) for c in side.calls[:16]):
        return
    for side in (case.a, case.b):
        for made in side.common[:8]:
            x = made.tensor
            if x.dim() < 2 or any(fits(x, s.x) for s in seen):
                continue
            running = _running(side, x)
            for dims in {(x.dim() - 1,), (0, *range(2, x.dim()))}:
                s = Setting(x, dims, parameters_of(side, x, dims), running if 0 in dims else ())
                seen.append(s)
                yield s


def _of_call(side: Side, call: Call) -> Setting | None:
    args = call.args
    refs = [a for a in args[:5] if isinstance(a, TensorRef)]
    if not refs or call.phase == "backward":
        return None
    x = side.number(refs[0])
    if x is None or refs[0].place in {m.ref.place for m in side.made}:
        return None
    if call.operation == "native_layer_norm":
        dims = tuple(range(x.dim() - len(args[1]), x.dim()))
        return Setting(x, dims, _read(side, args[2:4]))
    if call.operation == "_fused_rms_norm":
        dims = tuple(range(x.dim() - len(args[1]), x.dim()))
        return Setting(x, dims, _read(side, args[2:3]))
    if call.operation in BATCH_NORMS or call.operation == "_native_batch_norm_legit_no_training":
        dims = (0, *range(2, x.dim()))
        shape = (1, -1, *[1] * (x.dim() - 2))
        parts = [_read(side, args[1:3]), _read(side, args[3:5])]
        shaped = [_shaped(part, shape) for part in parts]
        return Setting(x, dims, shaped[0], shaped[1])
    return None


def _read(side: Side, args: Any) -> tuple[BoundedTensor, ...]:
    found = [side.number(a) for a in args if isinstance(a, TensorRef)]
    return tuple(f for f in found if f is not None)


def _shaped(tensors: Iterable[BoundedTensor], shape: tuple[int, ...]) -> tuple[BoundedTensor, ...]:
    made = [computed(lambda t=t: t.reshape(shape)) for t in tensors]  # type: ignore[misc]
    return tuple(m for m in made if m is not None)


def _shape(x: BoundedTensor, dims: tuple[int, ...]) -> tuple[int, ...]:
    if dims == (x.dim() - 1,):
        return (-1,)
    return (1, -1, *[1] * (x.dim() - 2))


def parameters_of(side: Side, x: BoundedTensor, dims: tuple[int, ...]) -> tuple[BoundedTensor, ...]:
    size = x.shape[-1] if dims == (x.dim() - 1,) else x.shape[1]
    named = [
        m
        for m in side.common
        if m.tensor.numel() == size and "running" not in side.given_name(m.ref)
    ]
    weight = next((m for m in named if side.given_name(m.ref).endswith("weight")), None)
    if weight is None:
        return ()
    shape = _shape(x, dims)
    module = side.given_name(weight.ref).rpartition(".")[0]
    bias = next((m for m in named if side.given_name(m.ref) == f"{module}.bias"), None)
    found = [weight] if bias is None else [weight, bias]
    return _shaped((m.tensor for m in found), shape)


def _running(side: Side, x: BoundedTensor) -> tuple[BoundedTensor, ...]:
    named = {side.given_name(m.ref): m.tensor for m in side.common}
    mean = next((n for n in named if n.endswith("running_mean")), None)
    if mean is None or named[mean].numel() != x.shape[1]:
        return ()
    variance = named.get(mean.replace("running_mean", "running_var"))
    if variance is None:
        return ()
    shape = (1, -1, *[1] * (x.dim() - 2))
    return _shaped((named[mean], variance), shape)


def floats_of(case: Case, low: float, high: float) -> list[float]:
    """The numbers between two limits among the arguments of the calls, once each."""
    found: dict[float, None] = {}
    for side in (case.a, case.b):
        for call in side.calls:
            for value in (*call.args, *call.kwargs.values()):
                if isinstance(value, float) and low < value < high:
                    found[value] = None
    return list(found)
