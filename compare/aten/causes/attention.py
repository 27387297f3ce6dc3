"""Attention: scale, mask, the axis of the softmax, heads, rotary positions."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed, fits, fits_somehow
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.causes.side import Made, Side
from torch_parity.compare.aten.record import Call
from torch_parity.compare.aten.reports import where
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.bounds.tensors import BoundedTensor

FUSED = {
    "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention", "scaled_dot_product_attention",
    "_scaled_dot_product_cudnn_attention", "_scaled_dot_product_fused_attention_overrideable",
}  # fmt: skip
SOFTMAX = {"_softmax", "_safe_softmax", "softmax"}
FAR = 500.0  # an additive mask hides what lies so far below the greatest


@dataclass(frozen=True)
class Attention:
    """One attention of a side, as read off its calls: q, k and v are (heads of all samples, places,
    size); visible says which key each query may look at."""

    q: BoundedTensor
    k: BoundedTensor
    v: BoundedTensor
    heads: int
    scale: float
    visible: np.ndarray
    axis: int
    call: Call
    out: BoundedTensor
    weights: BoundedTensor | None = None

    @property
    def size(self) -> int:
        """Of a head."""
        return int(self.q.shape[-1])

    def computed(self, **changes: Any) -> BoundedTensor | None:
        """What it makes with something changed."""
        return self._computed(changes, False)

    def computed_weights(self, **changes: Any) -> BoundedTensor | None:
        """The softmax with something changed."""
        return self._computed(changes, True)

    def _computed(self, changes: dict[str, Any], weights: bool) -> BoundedTensor | None:
        parts = {n: getattr(self, n) for n in ("q", "k", "v", "scale", "visible", "axis")} | changes

        def formula() -> Any:
            scores = parts["q"] @ parts["k"].transpose(-1, -2) * parts["scale"]
            hidden = torch.from_numpy(~parts["visible"])
            if hidden.any():
                scores = scores.masked_fill(hidden, -torch.inf)
            shares = scores.softmax(parts["axis"])
            return shares if weights else shares @ parts["v"]

        return computed(formula)


def attentions(side: Side) -> list[Attention]:
    """The attentions of a side's calls whose inputs are known."""
    found = []
    for i, call in enumerate(side.calls):
        if call.phase == "backward":
            continue
        if call.operation in FUSED:
            one = _fused(side, call)
        elif call.operation in SOFTMAX:
            one = _written_out(side, i, call)
        else:
            continue
        if one is not None:
            found.append(one)
    return found


def _flat(x: BoundedTensor) -> BoundedTensor | None:
    return computed(lambda: x.reshape(-1, *x.shape[-2:]))


def _fused(side: Side, call: Call) -> Attention | None:
    names = [a.name for a in call.overload._schema.arguments]
    given = dict(zip(names, call.args, strict=False)) | dict(call.kwargs)
    out = next((m for m in side.made if m.call is call), None)
    parts = [side.number(a) for a in call.args[:3]]
    if out is None or any(p is None for p in parts):
        return None
    flat = [_flat(p) for p in parts if p is not None]
    if any(f is None for f in flat):
        return None
    q, k, v = (f for f in flat if f is not None)
    d = int(q.shape[-1])
    scale = given.get("scale") or 1 / math.sqrt(d)
    visible = np.ones((q.shape[0], q.shape[1], k.shape[1]), bool)
    if given.get("is_causal"):
        visible &= np.tril(np.ones(visible.shape[-2:], bool))
    mask = given.get("attn_mask", given.get("attn_bias"))
    if isinstance(mask, TensorRef):
        seen = side.read(mask)
        if isinstance(seen, BoundedTensor):
            offsets = np.broadcast_to(numbers.value_of(seen), (*call.args[0].shape[:3], k.shape[1]))
            visible &= _visible(offsets.reshape(visible.shape))
        else:
            kept = np.broadcast_to(seen.numpy(), (*call.args[0].shape[:3], k.shape[1]))
            visible &= kept.reshape(visible.shape)
    heads = int(call.args[0].shape[1])
    return Attention(q, k, v, heads, scale, visible, -1, call, out.tensor)


def _visible(offsets: np.ndarray) -> np.ndarray:
    greatest = offsets.max(-1, keepdims=True)
    return np.asarray(offsets > greatest - FAR)


def _written_out(side: Side, i: int, call: Call) -> Attention | None:
    """Around a softmax: the product before it is q k, the one after it has v."""
    made = {m.ref.place: m for m in side.made}
    source = next((r for r in call.inputs), None)
    logits = None if source is None else side.number(source)
    if source is None or logits is None or logits.dim() < 3:
        return None
    first = _product_before(side, source)
    weights = call.outputs[0]
    second = next(
        (c for c in side.calls[i + 1 :] if c.operation == "bmm" and _reads(side, c, weights)), None
    )
    if first is None:
        return None
    args = [a for a in first.args if isinstance(a, TensorRef)][-2:]
    q, k_t = (side.number(a) for a in args)
    scores = side.number(first.outputs[0])
    if q is None or k_t is None or scores is None:
        return None
    k = computed(lambda: k_t.transpose(-1, -2))
    flat = computed(lambda: scores.reshape(logits.shape))
    if k is None or flat is None:
        return None
    shown = np.isfinite(numbers.value_of(logits))
    with np.errstate(all="ignore"):
        ratio = numbers.value_of(logits)[shown] / numbers.value_of(flat)[shown]
    scale = _scale(ratio)
    if scale is None:
        return None
    with np.errstate(all="ignore"):
        offsets = numbers.value_of(logits) - scale * numbers.value_of(flat)
    axis = int(call.args[1]) if len(call.args) > 1 else -1
    axis -= logits.dim() if axis >= 0 else 0
    visible = _visible(offsets.astype(np.float64)).reshape(q.shape[0], q.shape[1], -1)
    heads = int(logits.shape[1]) if logits.dim() > 3 else 1
    v, out = None, made.get(weights.place)
    if second is not None:
        v, out = side.number(second.args[1]), made.get(second.outputs[0].place)
    if v is None or out is None:
        return None
    shares = side.number(weights)
    return Attention(q, k, v, heads, scale, visible, axis, call, out.tensor, shares)


def _scale(ratio: np.ndarray) -> float | None:
    """The factor that most visible scores are multiplied by."""
    near = ratio[np.isfinite(ratio)]
    if near.size < 2:
        return None
    values, counts = np.unique(np.round(near.astype(np.float64), 9), return_counts=True)
    best = values[counts.argmax()]
    at = near[np.abs(near - best) < 1e-8]
    return float(np.median(at.astype(np.float64))) if at.size >= 2 else None


def _product_before(side: Side, ref: TensorRef) -> Call | None:
    """The batched product that a tensor comes from, through a few calls."""
    todo = [ref]
    for _ in range(12):
        if not todo:
            return None
        call = side.maker(todo.pop(0))
        if call is None:
            continue
        if call.operation in ("bmm", "baddbmm"):
            return call
        todo += [r for r in call.inputs if r.dtype.is_floating_point and len(r.shape) > 2]
    return None


def _reads(side: Side, call: Call, ref: TensorRef) -> bool:
    """Directly, or after a clone."""
    reached = {ref.place}
    for later in side.calls:
        if later is call:
            return any(r.place in reached for r in later.inputs)
        if later.operation in ("clone", "native_dropout", "_to_copy", "mul") and any(
            r.place in reached for r in later.inputs
        ):
            reached |= {r.place for r in later.outputs}
    return False


def compared(case: Case) -> list[tuple[Attention, Attention]]:
    """The first attention of each side that is no tensor of the other's."""
    if case.phase != "forward":
        return []
    if "attentions" not in case.found:
        found = [attentions(side)[:1] for side in (case.a, case.b)]
        both = [(x, y) for x in found[0] for y in found[1] if x.q.shape == y.q.shape]
        case.found["attentions"] = both
    return case.found["attentions"]


def same_inputs(x: Attention, y: Attention) -> bool:
    """Both attend to the same numbers."""
    return all(fits(getattr(x, n), getattr(y, n)) for n in ("q", "k", "v"))


def reaches(of: Attention, other: Attention, **changes: Any) -> bool:
    """Whether the one with something changed makes what the other makes, and without the change
    its own."""
    return _makes(of, of) and _makes(of, other, **changes)


def _makes(of: Attention, other: Attention, **changes: Any) -> bool:
    if other.weights is not None:
        made, wanted = of.computed_weights(**changes), other.weights
    else:
        made, wanted = of.computed(**changes), other.out
    return made is not None and numbers.is_sharp(made) and fits_somehow(made, wanted)


def _scales(case: Case) -> Iterator[tuple[Attention, Attention]]:
    for a, b in compared(case):
        other = abs(a.scale - b.scale) > 1e-9 * abs(a.scale)
        if other and same_inputs(a, b) and reaches(b, a, scale=a.scale):
            yield a, b


@cause("attention_scale_missing", "attention scores that are not divided by sqrt(d)")
def attention_scale_missing(case: Case) -> Iterator[str]:
    """1 against 1 / sqrt(d)"""
    for a, b in _scales(case):
        missing = [abs(x.scale - 1) < 1e-9 for x in (a, b)]
        if any(missing):
            yield _scale_told(case, a, b)


@cause("attention_scale_wrong_d", "attention scores divided by the root of another size")
def attention_scale_wrong_d(case: Case) -> Iterator[str]:
    """1 / sqrt(16) against 1 / sqrt(8)"""
    for a, b in _scales(case):
        sizes = [1 / x.scale**2 for x in (a, b)]
        known = {a.size, a.size * a.heads}
        fit = [any(abs(s - k) < 1e-6 * k for k in known) for s in sizes]
        if all(fit):
            yield _scale_told(case, a, b)


def _scale_told(case: Case, a: Attention, b: Attention) -> str:
    told = ["1" if abs(x.scale - 1) < 1e-9 else f"1 / sqrt({1 / x.scale**2:.6g})" for x in (a, b)]
    return (
        f"{case.b.called} multiplies the scores of attention by {told[1]}, {case.a.called} by "
        f"{told[0]} ({where(b.call)}); a head has {a.size} columns, the model {a.size * a.heads}."
    )


def _masks(case: Case) -> Iterator[tuple[Attention, Attention]]:
    for a, b in compared(case):
        other = not np.array_equal(a.visible, b.visible)
        if other and same_inputs(a, b) and reaches(b, a, visible=a.visible):
            yield a, b


def _triangle(visible: np.ndarray, offset: int) -> np.ndarray:
    """What is visible, and no more than offset places ahead."""
    return np.asarray(visible & np.tril(np.ones(visible.shape[-2:], bool), offset))


@cause("causal_mask_missing", "attention that sees later places on one side only")
def causal_mask_missing(case: Case) -> Iterator[str]:
    """The triangle is on one side only."""
    for a, b in _masks(case):
        for lacks, has, one, other in ((b, a, case.b, case.a), (a, b, case.a, case.b)):
            keys = lacks.visible.any(-2, keepdims=True)
            whole = np.array_equal(lacks.visible, np.broadcast_to(keys, lacks.visible.shape))
            if whole and np.array_equal(_triangle(lacks.visible, 0), has.visible):
                yield (
                    f"{one.called} attends to later places as well ({where(lacks.call)}), "
                    f"{other.called} to none: the causal mask is missing in {one.called}."
                )


@cause("causal_mask_off_by_one", "a causal mask shifted by one place")
def causal_mask_off_by_one(case: Case) -> Iterator[str]:
    """diagonal=1 against diagonal=0"""
    for a, b in _masks(case):
        found = [_diagonal(x.visible) for x in (a, b)]
        if None not in found and found[0] != found[1] and abs(found[0] - found[1]) == 1:  # type: ignore[operator]
            told = [_seen(f) for f in found]
            yield (
                f"In {case.b.called} a place attends to {told[1]}, in {case.a.called} to {told[0]} "
                f"({where(b.call)}): tril(diagonal={found[0]})."
            )


def _seen(diagonal: int | None) -> str:
    return {0: "itself and what is before it", 1: "one place after it as well"}.get(
        diagonal or 0, "what is before it, not to itself"
    )


def _diagonal(visible: np.ndarray) -> int | None:
    """The k of tril(k), if what is visible is that, except for keys that no query sees."""
    keys = visible.any(-2, keepdims=True)
    for k in (0, 1, -1):
        triangle = np.tril(np.ones(visible.shape[-2:], bool), k) & keys
        rows = np.asarray(triangle.any(-1, keepdims=True))
        if np.array_equal(visible & rows, triangle):
            return k
    return None


@cause("mask_sign", "what a mask hides is what it should show")
def mask_sign(case: Case) -> Iterator[str]:
    """Where a hides something, b hides the rest."""
    for a, b in _masks(case):
        rows = ~a.visible.all(-1)
        other = ~b.visible.all(-1)
        rows = rows | other
        if rows.any() and np.array_equal(a.visible[rows], ~b.visible[rows]):
            yield (
                f"{case.b.called} attends to what {case.a.called} hides, and hides what "
                f"{case.a.called} attends to ({where(b.call)}): its mask has the other sign."
            )


@cause("softmax_axis", "a softmax over another axis")
def softmax_axis(case: Case) -> Iterator[str]:
    """In attention, and anywhere else."""
    for a, b in compared(case):
        if a.axis != b.axis and same_inputs(a, b) and reaches(b, a, axis=a.axis):
            yield (
                f"{case.b.called} takes the softmax of the scores over axis {b.axis}, "
                f"{case.a.called} over axis {a.axis} ({where(b.call)})."
            )
    for made in (m for m in case.b.made if m.call.operation in (*SOFTMAX, "_log_softmax")):
        call = made.call
        x = side_argument(case.b, call)
        if x is None or x.dim() < 2:
            continue
        own = int(call.args[1]) % x.dim()
        for axis in range(x.dim()):
            if axis == own:
                continue
            other = case.b.with_arguments(call, (call.args[0], axis, *call.args[2:]))
            if other and any(fits(other[0], m.tensor) for m in case.a.made):
                yield (
                    f"{case.b.called} takes the {call.operation.strip('_')} over axis {own}, "
                    f"{case.a.called} over axis {axis} ({where(call)})."
                )


def side_argument(side: Side, call: Call) -> BoundedTensor | None:
    """The first tensor that a call reads."""
    ref = next((r for r in call.inputs), None)
    return None if ref is None else side.number(ref)


@cause("heads_before_transpose", "heads split or joined by a view, without the transpose")
def heads_before_transpose(case: Case) -> Iterator[str]:
    """x.view(b, heads, t, d) against x.view(b, t, heads, d).transpose(1, 2)"""
    for a, b in compared(case):
        if any(fits(getattr(a, n), getattr(b, n)) for n in ("q", "k", "v")):
            continue
        for wrong, right, one, other in ((b, a, case.b, case.a), (a, b, case.a, case.b)):
            alike = all(
                (seen := by_view(getattr(right, n), right.heads)) is not None
                and fits(seen, getattr(wrong, n))
                for n in ("q", "k", "v")
            )
            if alike and reaches(wrong, right, q=right.q, k=right.k, v=right.v):
                yield (
                    f"{one.called} splits the heads by a view alone ({where(wrong.call)}), "
                    f"{other.called} by view(b, t, {a.heads}, {a.size}).transpose(1, 2)."
                )
    for swap in case.swaps:
        for v, y, one, other in (
            (swap.v, swap.y, swap.one, swap.other),
            (swap.y, swap.v, swap.other, swap.one),
        ):
            if _joined(one, v, other, y):
                yield (
                    f"{one.called} joins the heads by a view alone ({where(v.call)}), "
                    f"{other.called} by transpose(1, 2) before it."
                )


def by_view(x: BoundedTensor, heads: int) -> BoundedTensor | None:
    """(b heads, t, d), as if (b, t, heads d) were taken for (b, heads, t, d)."""
    return computed(
        lambda: x.reshape(-1, heads, *x.shape[-2:]).transpose(1, 2).reshape(-1, *x.shape[-2:])
    )


def _joined(one: Side, v: Made, other: Side, y: Made) -> bool:
    """v is (b, heads, t, d) flat, and y the same after transpose(1, 2)."""
    flat = [computed(lambda m=m: m.tensor.reshape(-1)) for m in (v, y)]  # type: ignore[misc]
    if flat[0] is None or flat[1] is None:
        return False
    for heads, t, d in _head_shapes(one, v, other, y):
        turned = computed(
            lambda h=heads, t=t, d=d: (  # type: ignore[misc]
                v.tensor.reshape(-1, h, t, d).transpose(1, 2).reshape(-1)
            )
        )
        if turned is not None and fits(turned, flat[1]):
            return True
    return False


def _head_shapes(one: Side, v: Made, other: Side, y: Made) -> Iterator[tuple[int, int, int]]:
    """(heads, t, d), as far as the shapes of what was made and of what is read tell."""
    shapes = [
        ref.shape for s, m in ((one, v), (other, y)) for ref in (m.ref, s.whole(m.ref)) if ref
    ]
    for shape in shapes:
        if len(shape) == 4:
            yield shape[1], shape[2], shape[3]
    for shape in shapes:
        if len(shape) == 3:
            for width in {s[-1] for s in shapes if len(s) < 4}:
                if width % shape[2] == 0:
                    yield width // shape[2], shape[1], shape[2]


@cause("rope_interleaved", "rotary positions on neighbours, or on halves")
def rope_interleaved(case: Case) -> Iterator[str]:
    """(x0, x1), (x2, x3)... turned together, or (x0, xd/2), (x1, xd/2+1)..."""
    if case.phase != "forward":
        return
    for x, cos, sin in _rotations(case):
        half = x.shape[-1] // 2
        pairs = {
            "halves": (x[..., :half], x[..., half:]),
            "neighbours": (x[..., ::2], x[..., 1::2]),
        }
        found: dict[str, list[Made | None]] = {}
        for name, (first, second) in pairs.items():
            turned = computed(lambda f=first, s=second, c=cos, n=sin: f * c - s * n)  # type: ignore[misc]
            whole = _whole(name, first, second, cos, sin)
            found[name] = [side.find(turned) or side.find(whole) for side in (case.a, case.b)]
        for own, other in (("halves", "neighbours"), ("neighbours", "halves")):
            of_a, of_b = found[own][0], found[other][1]
            if of_a is not None and of_b is not None and found[own][1] is None:
                yield (
                    f"{case.b.called} turns {other} together, {case.a.called} {own} "
                    f"({where(of_b.call)}): rotary positions pair "
                    f"{'x[i] with x[i + d/2]' if own == 'halves' else 'x[2i] with x[2i + 1]'} in "
                    f"{case.a.called}."
                )


def _whole(name: str, first: Any, second: Any, cos: Any, sin: Any) -> BoundedTensor | None:
    def formula() -> Any:
        parts = [first * cos - second * sin, second * cos + first * sin]
        return torch.cat(parts, -1) if name == "halves" else torch.stack(parts, -1).flatten(-2)

    return computed(formula)


def _rotations(case: Case) -> Iterator[tuple[BoundedTensor, BoundedTensor, BoundedTensor]]:
    """(x, cos, sin): what is turned by which angles."""
    for side in (case.a, case.b):
        known = [m.tensor for m in (*side.common, *side.made)]
        angles = [t for t in known if t.dim() >= 2 and _is_angle(t)]
        both = next(
            (
                (c, s)
                for c in angles
                for s in angles
                if c is not s and c.shape == s.shape and _on_circle(c, s) and _begins(c)
            ),
            None,
        )
        if both is None:
            continue
        for x in _turned(side, int(both[0].shape[-1])):
            half = int(x.shape[-1]) // 2
            cos, sin = (computed(lambda t=t, h=half: t[..., :h]) for t in both)  # type: ignore[misc]
            if cos is not None and sin is not None:
                yield x, cos, sin


def _is_angle(t: BoundedTensor) -> bool:
    value = numbers.value_of(t)
    return bool((np.abs(value) <= 1).all()) and bool((value == 1).any() or (value == 0).any())


def _begins(cos: BoundedTensor) -> bool:
    """At place 0 the cosine is 1."""
    return bool((numbers.value_of(cos)[..., 0, :] == 1).all())


def _on_circle(c: BoundedTensor, s: BoundedTensor) -> bool:
    # cos and sin of float32 angles keep to the circle to 1e-7
    square = numbers.value_of(c) ** 2 + numbers.value_of(s) ** 2
    return bool((np.abs(square - 1) < 1e-6).all())


def _turned(side: Side, width: int) -> Iterator[BoundedTensor]:
    """What may be turned: read whole, or in two parts."""
    by_place: dict[tuple[Any, ...], list[Made]] = {}
    for m in side.common:
        if m.tensor.dim() >= 3:
            by_place.setdefault((m.ref.place, m.ref.shape, m.ref.stride), []).append(m)
            if m.ref.shape[-1] == width or m.ref.shape[-1] == 2 * width:
                yield m.tensor
    for parts in by_place.values():
        for first in parts:
            for second in parts:
                gap = second.ref.offset - first.ref.offset
                if gap == first.ref.shape[-1] and first.ref.stride[-1] == 1:
                    x = computed(lambda f=first, s=second: torch.cat([f.tensor, s.tensor], -1))  # type: ignore[misc]
                elif gap == 1 and first.ref.stride[-1] == 2:
                    x = computed(
                        lambda f=first, s=second: torch.stack([f.tensor, s.tensor], -1).flatten(-2)  # type: ignore[misc]
                    )
                else:
                    continue
                if x is not None:
                    yield x
