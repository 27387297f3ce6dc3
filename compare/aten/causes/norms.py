"""Normalization: eps, the variance, the affine part, running statistics, training or evaluation."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed, fits
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.causes.side import Made, Side
from torch_parity.compare.aten.record import Call
from torch_parity.compare.aten.reports import where
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.bounds.tensors import BoundedTensor
from torch_parity.compare.tensors import to_numpy

NORMS = {
    "native_layer_norm", "native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm",
    "_native_batch_norm_legit_no_training", "native_group_norm", "_fused_rms_norm", "batch_norm",
    "var", "var_mean", "std", "std_mean", "rsqrt", "sqrt", "pow", "lerp",
}  # fmt: skip
BATCH_NORMS = {"native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm"}


@dataclass(frozen=True)
class Form:
    """How a tensor is normalized. kind is "mean" (less its mean), "square" (RMS norm) or "running"
    (by running statistics); affine counts the parameters that are applied: weight, bias."""

    kind: str
    eps: float | None = None
    outside: bool = False
    unbiased: bool = False
    affine: int = 0

    def differs(self, other: "Form") -> list[str]:
        """The names of what is not the same."""
        names = ("kind", "eps", "outside", "unbiased", "affine")
        return [n for n in names if getattr(self, n) != getattr(other, n)]


@dataclass(frozen=True)
class Found:
    """A quantity on the way to a normalized tensor, and the call that makes it."""

    quantity: str
    form: Form
    made: Made


@dataclass(frozen=True)
class Setting:
    """What is normalized, over which dimensions, with which parameters."""

    x: BoundedTensor
    dims: tuple[int, ...]
    parameters: tuple[BoundedTensor, ...]  # weight, bias: shaped to be applied
    running: tuple[BoundedTensor, ...] = ()  # mean, variance


def quantities(s: Setting, eps: list[float]) -> Iterator[tuple[str, Form, BoundedTensor]]:
    """Every form of the norm of x that is known, and the quantities on the way."""
    centred = computed(lambda: s.x - s.x.mean(s.dims, keepdim=True))
    n = 1
    for d in s.dims:
        n *= s.x.shape[d]
    bases: list[tuple[Form, BoundedTensor | None, BoundedTensor | None]] = [
        (Form("mean"), centred, computed(lambda: s.x.var(s.dims, unbiased=False, keepdim=True))),
        (Form("square"), s.x, computed(lambda: s.x.square().mean(s.dims, keepdim=True))),
    ]
    if n > 1:
        unbiased = computed(lambda: s.x.var(s.dims, unbiased=True, keepdim=True))
        bases.insert(1, (Form("mean", unbiased=True), centred, unbiased))
    if s.running:
        mean, variance = s.running
        bases.append((Form("running"), computed(lambda: s.x - mean), variance))
    for base, top, divisor in bases:
        if top is None or divisor is None:
            continue
        yield "variance", base, divisor
        for e in eps:
            for outside in (False, True):
                form = Form(base.kind, e, outside, base.unbiased)
                yield from _normalized(s, form, top, divisor, e)


def _normalized(
    s: Setting, form: Form, top: BoundedTensor, variance: BoundedTensor, eps: float
) -> Iterator[tuple[str, Form, BoundedTensor]]:
    if form.outside:
        root = computed(lambda: variance.sqrt() + eps)
    else:
        summed = computed(lambda: variance + eps)
        if summed is None:
            return
        yield "variance + eps", form, summed
        root = computed(lambda: summed.sqrt())
    if root is None:
        return
    yield "root", form, root
    inverse = computed(lambda: 1 / root)
    if inverse is not None:
        yield "1 / root", form, inverse
    out = computed(lambda: top / root)
    for affine in range(len(s.parameters) + 1):
        if out is None:
            return
        yield "output", Form(form.kind, eps, form.outside, form.unbiased, affine), out
        if affine < len(s.parameters):
            out = computed(
                lambda out=out, affine=affine: (  # type: ignore[misc]
                    out * s.parameters[0] if affine == 0 else out + s.parameters[1]
                )
            )


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
                s = Setting(x, dims, _parameters(side, x, dims), running if 0 in dims else ())
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


def _parameters(side: Side, x: BoundedTensor, dims: tuple[int, ...]) -> tuple[BoundedTensor, ...]:
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


def forms(case: Case) -> list[tuple[Found, Found]]:
    """What a makes and what b makes of the same quantity, by other forms."""
    if "norms" not in case.found:
        case.found["norms"] = list(_forms(case)) if case.phase == "forward" else []
    return case.found["norms"]


def _forms(case: Case) -> Iterator[tuple[Found, Found]]:
    eps = floats_of(case, 0.0, 0.05)[:4]
    for s in settings(case):
        of: dict[str, tuple[dict[str, Found], dict[str, Found]]] = {}
        for quantity, form, tensor in quantities(s, eps):
            for i, side in enumerate((case.a, case.b)):
                made = side.find(tensor) or _statistic(side, tensor)
                if made is not None:
                    known = of.setdefault(quantity, ({}, {}))[i]
                    key = f"{form.affine}" if quantity == "output" else ""
                    known.setdefault(key, Found(quantity, form, made))
        for found in of.values():
            best = [max(f.values(), key=lambda x: x.form.affine, default=None) for f in found]
            if best[0] is not None and best[1] is not None and best[0].form != best[1].form:
                yield best[0], best[1]


def _statistic(side: Side, tensor: BoundedTensor) -> Made | None:
    """A statistic may be kept without the dimensions that it is over."""
    flat = computed(lambda: tensor.reshape(-1))
    for made in side.made:
        if flat is not None and made.tensor.numel() == tensor.numel() > 1:
            other = computed(lambda made=made: made.tensor.reshape(-1))  # type: ignore[misc]
            if other is not None and fits(flat, other) and numbers.is_sharp(other):
                return made
    return None


def differing(case: Case, name: str) -> Iterator[tuple[Found, Found]]:
    """Where the forms differ in this and in nothing else."""
    for of_a, of_b in forms(case):
        if of_a.form.differs(of_b.form) == [name]:
            yield of_a, of_b


@cause("norm_eps_value", "another eps in a normalization")
def norm_eps_value(case: Case) -> Iterator[str]:
    """eps of b, eps of a."""
    for of_a, of_b in differing(case, "eps"):
        yield (
            f"{case.b.called} normalizes with eps={of_b.form.eps:g}, {case.a.called} with "
            f"eps={of_a.form.eps:g} ({where(of_b.made.call)})."
        )


@cause("norm_eps_outside_root", "eps added to the deviation, not to the variance")
def norm_eps_outside_root(case: Case) -> Iterator[str]:
    """1 / (sqrt(var) + eps) against 1 / sqrt(var + eps)."""
    for of_a, of_b in differing(case, "outside"):
        told = [
            f"by sqrt(variance) + {f.form.eps:g}"
            if f.form.outside
            else f"by sqrt(variance + {f.form.eps:g})"
            for f in (of_a, of_b)
        ]
        yield (
            f"{case.b.called} divides {told[1]}, {case.a.called} {told[0]} "
            f"({where(of_b.made.call)}): eps belongs where {case.a.called} has it."
        )


@cause("unbiased_variance", "the variance divided by n - 1, not by n, in a normalization")
def unbiased_variance(case: Case) -> Iterator[str]:
    """var(unbiased=True) against var(unbiased=False)."""
    for of_a, of_b in differing(case, "unbiased"):
        told = ["n - 1" if f.form.unbiased else "n" for f in (of_a, of_b)]
        yield (
            f"{case.b.called}'s variance is divided by {told[1]}, {case.a.called}'s by {told[0]} "
            f"({where(of_b.made.call)}): unbiased={of_a.form.unbiased}."
        )


@cause("norm_without_affine", "a normalization without its weight and bias")
def norm_without_affine(case: Case) -> Iterator[str]:
    """One side applies them."""
    for of_a, of_b in differing(case, "affine"):
        if min(of_a.form.affine, of_b.form.affine):
            continue
        lacks, has = (case.b, case.a) if of_a.form.affine else (case.a, case.b)
        what = "weight and bias" if max(of_a.form.affine, of_b.form.affine) == 2 else "weight"
        yield (
            f"{lacks.called} normalizes without the {what} that {has.called} applies "
            f"({where(of_b.made.call)})."
        )


@cause("norm_without_affine", "a normalization without its weight and bias", general=1)
def without_affine(case: Case) -> Iterator[str]:
    """One side reads the normalized numbers as they are; the other multiplies by a weight first."""
    for swap in case.swaps:
        for v, y, lacks, has in (
            (swap.v, swap.y, swap.one, swap.other),
            (swap.y, swap.v, swap.other, swap.one),
        ):
            x = v.tensor
            if not v.common or y.common or x.dim() < 2:
                continue
            for dims in {(x.dim() - 1,), (0, *range(2, x.dim()))}:
                affine = _parameters(has, x, dims)
                made = [computed(lambda x=x, w=w: x * w) for w in affine[:1]]  # type: ignore[misc]
                if len(affine) == 2:
                    made.append(computed(lambda x=x, w=affine: x * w[0] + w[1]))  # type: ignore[misc]
                same = numbers.reshaped(y.tensor, tuple(x.shape))
                if same is not None and any(m is not None and fits(m, same) for m in made):
                    yield (
                        f"{has.called} multiplies by the norm's weight ({where(y.call)}), "
                        f"{lacks.called} reads the normalized numbers as they are."
                    )


@cause("train_eval_mode", "a norm or a dropout trains on one side and evaluates on the other")
def train_eval_mode(case: Case) -> Iterator[str]:
    """Statistics of the batch against running statistics; dropped units against all units."""
    for of_a, of_b in differing(case, "kind"):
        kinds = {of_a.form.kind, of_b.form.kind}
        if kinds == {"mean", "running"}:
            trains, not_ = (case.b, case.a) if of_b.form.kind == "mean" else (case.a, case.b)
            yield (
                f"{trains.called} normalizes by the statistics of the batch, {not_.called} by the "
                f"running ones ({where(of_b.made.call)}): {trains.called} trains and {not_.called} "
                "evaluates."
            )
    for swap in case.swaps:
        for kept, dropped, one, other in (
            (swap.v, swap.y, swap.one, swap.other),
            (swap.y, swap.v, swap.other, swap.one),
        ):
            p = dropped_with(kept.tensor, dropped.tensor)
            draws = other.comes_from(dropped.ref, {"native_dropout", "bernoulli"})
            if p is not None and draws is not None and not _masks(one, kept, dropped):
                yield (
                    f"{other.called} drops out with p={p:.6g} ({where(dropped.call)}), and "
                    f"{one.called} drops nothing there: {other.called} trains and {one.called} "
                    "evaluates."
                )


def _masks(side: Side, kept: Made, dropped: Made) -> bool:
    """Whether the side reads a mask that is 0 wherever units were dropped."""
    value, other = numbers.value_of(kept.tensor), numbers.value_of(dropped.tensor)
    if value.shape != other.shape:
        return False
    out = other[value != 0] == 0
    read = (r for call in side.calls for r in call.inputs if r.shape == value.shape)
    masks = (to_numpy(side.record.value(r)) for r in read if not r.unjudged)
    return any(np.array_equal(mask[value != 0] == 0, out) for mask in masks)


@cause("norm_before_or_after", "a normalization before the layer, or after the sum")
def norm_before_or_after(case: Case) -> Iterator[str]:
    """x + f(norm(x)) against norm(x + f(x))"""
    for one, other, call in _unnormalized(case):
        weight = _weight_of(other, call)
        if weight is not None and _reads(one, weight):
            yield (
                f"{other.called} normalizes before {call.module or 'the layer'} "
                f"({where(call)}), {one.called} reads the same numbers as they are there, and "
                "normalizes elsewhere: pre-norm against post-norm."
            )


@cause("norm_missing", "a normalization on one side only", general=1)
def norm_missing(case: Case) -> Iterator[str]:
    """norm(x) against x"""
    for one, other, call in _unnormalized(case):
        weight = _weight_of(other, call)
        if weight is None or not _reads(one, weight):
            yield (
                f"{other.called} normalizes ({where(call)}), and {one.called} reads the same "
                "numbers as they are."
            )


def _weight_of(side: Side, call: Call) -> torch.Tensor | None:
    """The norm's weight, among what its last call reads."""
    found = (r for r in call.inputs if side.given_name(r).endswith("weight"))
    ref = next(found, None)
    return None if ref is None else side.record.value(ref)


def _unnormalized(case: Case) -> Iterator[tuple[Side, Side, Call]]:
    """(one, other, call): one reads what other's call normalizes."""
    if case.phase != "forward":
        return
    eps = floats_of(case, 0.0, 0.05)[:4]
    for swap in case.swaps:
        for v, y, one, other in (
            (swap.v, swap.y, swap.one, swap.other),
            (swap.y, swap.v, swap.other, swap.one),
        ):
            x = v.tensor
            if not v.common or y.common or x.dim() < 2:
                continue
            for s in settings(case):
                if not numbers.fits_somehow(s.x, x):
                    continue
                for quantity, _, tensor in quantities(s, eps):
                    if quantity == "output" and numbers.fits_somehow(tensor, y.tensor):
                        yield one, other, y.call
                        break


def _reads(side: Side, weight: torch.Tensor) -> bool:
    """Whether the model reads a given tensor with these numbers at all."""
    record = side.record
    places = {
        ref.place
        for ref in record.given.values()
        if ref.shape == tuple(weight.shape)
        and ref.dtype == weight.dtype
        and torch.equal(record.value(ref), weight)
    }
    return any(r.place in places for c in record.of_phase("forward") for r in c.inputs)


def dropped_with(kept: BoundedTensor, dropped: BoundedTensor) -> float | None:
    """p, if some entries are 0 and the others are divided by 1 - p."""
    dropped_ = numbers.reshaped(dropped, tuple(kept.shape))
    if dropped_ is None:
        return None
    value = numbers.value_of(dropped_)
    out = value == 0
    if not out.any() or (numbers.value_of(kept)[out] == 0).all() or (~out).sum() < 2:
        return None
    parts = [
        numbers.with_error(numbers.value_of(t)[~out], numbers.error_of(t)[~out], t.dtype)
        for t in (dropped_, kept)
    ]
    found = numbers.factor(parts[0], parts[1])
    if found is None or numbers.middle(found) <= 1:
        return None
    return 1 - 1 / numbers.middle(found)


@cause("running_statistics_momentum", "running statistics kept with another momentum or variance")
def running_statistics_momentum(case: Case) -> Iterator[str]:
    """(1 - m) old + m new, for other m, or another variance."""
    if case.end is None or "running_" not in case.parting.end.end.name:
        return
    of_a, of_b = case.end
    name = case.parting.end.end.name.removeprefix("new ")
    old_ref = case.b.record.given.get(name)
    old = None if old_ref is None else case.b.number(old_ref)
    if old is None:
        return
    momenta = [m for f in floats_of(case, 0.0, 1.0) for m in (f, 1 - f)]
    for s in settings(case):
        if 0 not in s.dims:
            continue
        told: list[tuple[float, str] | None] = [None, None]
        for what, new in _statistics(s, name):
            for m in momenta:
                y = computed(lambda new=new, m=m: (1 - m) * old + m * new)  # type: ignore[misc]
                for i, made in enumerate((of_a, of_b)):
                    if y is not None and told[i] is None and fits(y, made.tensor):
                        told[i] = (m, what)
        a, b = told
        if a is not None and b is not None and a != b:
            which = "momentum" if a[0] != b[0] else "variance"
            yield (
                f"{case.b.called} keeps {name} as {1 - b[0]:g} old + {b[0]:g} {b[1]}, "
                f"{case.a.called} as {1 - a[0]:g} old + {a[0]:g} {a[1]} "
                f"({where(of_b.call)}): another {which}."
            )


def _statistics(s: Setting, name: str) -> Iterator[tuple[str, BoundedTensor]]:
    if name.endswith("mean"):
        made = [("mean", computed(lambda: s.x.mean(s.dims)))]
    else:
        made = [
            ("variance (n - 1)", computed(lambda: s.x.var(s.dims, unbiased=True))),
            ("variance (n)", computed(lambda: s.x.var(s.dims, unbiased=False))),
        ]
    for what, tensor in made:
        if tensor is not None:
            yield what, tensor
