"""An attention of one side, read off its calls, to be computed again with something changed."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed, fits, fits_somehow
from torch_parity.compare.aten.causes.side import Side
from torch_parity.compare.aten.record import Call
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
