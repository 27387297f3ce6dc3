"""Losses: labels, padding, softmax twice, sums for means."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed, fits
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.causes.relations import factors
from torch_parity.compare.aten.causes.side import Made, Side
from torch_parity.compare.aten.naming import where
from torch_parity.compare.aten.record import Call
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.aten.writers import is_view
from torch_parity.compare.bounds.tensors import BoundedTensor

MOVES = {"clone", "_to_copy", "copy", "index", "_unsafe_view"}


@dataclass(frozen=True)
class Entropy:
    """A cross entropy of a side, as its calls have it: logits (rows, classes), labels (rows)."""

    logits: BoundedTensor
    labels: torch.Tensor
    ignored: int
    reduction: int
    softmax: Call
    loss: Call


def entropies(side: Side) -> Iterator[Entropy]:
    """Those whose logits both have."""
    for call in side.calls:
        if call.operation not in ("nll_loss_forward", "nll_loss2d_forward"):
            continue
        scores = call.args[0]
        softmax = side.maker(scores)
        if softmax is None or softmax.operation not in ("_log_softmax", "log_softmax"):
            continue
        logits = side.number(softmax.args[0])
        labels = call.args[1]
        if logits is None or not isinstance(labels, TensorRef):
            continue
        yield Entropy(logits, side.read(labels), int(call.args[4]), call.args[3], softmax, call)


def ends(case: Case) -> tuple[Made, Made] | None:
    """The losses, where they are what differs first."""
    if case.end is None or not case.parting.end.end.name.startswith("loss"):
        return None
    return case.end


@cause("softmax_before_cross_entropy", "a softmax in front of a loss that takes logits")
def softmax_before_cross_entropy(case: Case) -> Iterator[str]:
    """F.cross_entropy(logits.softmax(-1), y) against F.cross_entropy(logits, y)"""
    for swap in case.swaps:
        for v, y, one, other in swap.both_ways:
            if v.common or v.tensor.dim() < 1 or v.call.operation not in ("_softmax", "softmax"):
                continue
            same = numbers.reshaped(y.tensor, tuple(v.tensor.shape))
            made = computed(lambda x=same: x.softmax(-1))  # type: ignore[misc]
            if made is not None and fits(made, v.tensor) and _goes_into_log_softmax(one, v):
                yield _softmax_told(one, other, v.call)
    both = case.end
    if both is not None and case.parting.end.end.name.startswith("output"):
        for v, y, one, other in (
            (both[1], both[0], case.b, case.a),
            (both[0], both[1], case.a, case.b),
        ):
            made = computed(lambda y=y: y.tensor.softmax(-1))  # type: ignore[misc]
            if made is not None and fits(made, v.tensor) and _goes_into_log_softmax(one, v):
                yield _softmax_told(one, other, v.call)


def _softmax_told(one: Side, other: Side, call: Call) -> str:
    return (
        f"{one.called} takes a softmax ({where(call)}) before the cross entropy, which takes one "
        f"itself; {other.called} hands it the logits."
    )


def _goes_into_log_softmax(side: Side, v: Made) -> bool:
    reached = {v.ref.place}
    for call in side.record.of_phase("forward"):
        if call.index > v.call.index and any(r.place in reached for r in call.inputs):
            if call.operation in ("_log_softmax", "log_softmax", "logsumexp"):
                return True
            if call.operation not in MOVES and not is_view(call):
                return False
            reached |= {r.place for r in call.outputs}
    return False


@cause("label_shift", "labels shifted against the logits by another number of places")
def label_shift(case: Case) -> Iterator[str]:
    """logits[:, :-1] with labels[:, 1:], or unshifted, or shifted twice"""
    both = ends(case)
    if both is None:
        return
    for logits, labels in _sequences(case):
        found: list[int | None] = [None, None]
        length = logits.shape[1]
        for shift in (0, 1, 2, -1):
            if abs(shift) >= length:
                continue
            loss = _shifted(logits, labels, shift)
            for i, made in enumerate(both):
                if loss is not None and found[i] is None and _scalar_fits(loss, made.tensor):
                    found[i] = shift
        if None not in found and found[0] != found[1]:
            told = [_shift_told(s) for s in found]
            yield (
                f"{case.b.called} compares {told[1]}, {case.a.called} {told[0]} "
                f"({where(both[1].call)})."
            )


def _shift_told(shift: int | None) -> str:
    if not shift:
        return "each place with its own label"
    if shift < 0:
        return "each place with the label before it"
    return f"each place with the label {shift} further"


def _shifted(logits: BoundedTensor, labels: torch.Tensor, shift: int) -> BoundedTensor | None:
    n = logits.shape[1]
    scores = logits[:, : n - shift] if shift >= 0 else logits[:, -shift:]
    wanted = labels[:, shift:] if shift >= 0 else labels[:, : n + shift]
    return computed(lambda: F.cross_entropy(scores.flatten(0, 1), wanted.flatten()))


def _sequences(case: Case) -> Iterator[tuple[BoundedTensor, torch.Tensor]]:
    """Logits (b, t, classes) that both have, and labels (b, t)."""
    labels: list[torch.Tensor] = []
    for side in (case.a, case.b):
        for ref in side.record.given.values():
            if len(ref.shape) == 2 and not ref.dtype.is_floating_point:
                value = side.record.value(ref)
                if value.dtype == torch.int64 and not any(torch.equal(value, o) for o in labels):
                    labels.append(value)
    seen: list[tuple[int, ...]] = []
    for side in (case.a, case.b):
        for name, ref in side.record.results.items():
            if not name.startswith("output") or len(ref.shape) != 3:
                continue
            logits = side.number(ref)
            if logits is None or ref.shape in seen:
                continue
            seen.append(ref.shape)
            for wanted in labels:
                if tuple(wanted.shape) == tuple(ref.shape[:2]):
                    yield logits, wanted


def _scalar_fits(x: BoundedTensor, y: BoundedTensor) -> bool:
    same = numbers.reshaped(x, tuple(y.shape))
    return same is not None and numbers.is_sharp(same) and fits(same, y)


@cause("sum_instead_of_mean", "a sum where the other model has a mean")
def sum_instead_of_mean(case: Case) -> Iterator[str]:
    """reduction='sum' against reduction='mean'"""
    both = ends(case)
    if both is None:
        return
    for one, v, other, made, interval in factors(case):
        counts = _counts(case)
        for told, x, y, factor in (
            (one, one, other, (1 / interval[1], 1 / interval[0])),
            (other, other, one, interval),
        ):
            if v.tensor.numel() > 1 and made.tensor.numel() > 1 and v.tensor.dim() > 1:
                continue
            n = numbers.named_factor(factor, ((what, float(k)) for k, what in counts.items()))
            if n is not None:
                yield (
                    f"{told.called}'s loss is {numbers.middle(factor):.9g} times {y.called}'s, the "
                    f"number of {n} ({where(both[1].call)}): {x.called} adds up what {y.called} "
                    "takes the mean of."
                )


def _counts(case: Case) -> dict[int, str]:
    """What a mean may have been taken of."""
    found: dict[int, str] = {}
    for side in (case.a, case.b):
        for ref in side.record.given.values():
            # samples, places and entries of what the step was given and gave
            name = side.given_name(ref)
            if name.startswith(("input", "target")) and ref.shape:
                found.setdefault(ref.shape[0], "samples")
                if len(ref.shape) > 1:
                    found.setdefault(ref.shape[1], "places")
                    found.setdefault(ref.shape[1] - 1, "places with a label")
                    found.setdefault(math.prod(ref.shape), "entries")
                    found.setdefault(ref.shape[0] * (ref.shape[1] - 1), "labels")
        for name, ref in side.record.results.items():
            if name.startswith("output") and ref.shape:
                found.setdefault(ref.shape[0], "samples")
                found.setdefault(math.prod(ref.shape), "entries")
                if len(ref.shape) > 1:
                    found.setdefault(ref.shape[-1], "classes")
    return {n: what for n, what in found.items() if n > 1}


@cause("mean_over_padding", "padding counted in a mean on one side")
def mean_over_padding(case: Case) -> Iterator[str]:
    """Over all places, or over those that are kept."""
    for one, v, other, made, interval in factors(case):
        for less, more, at, factor in (
            (one, other, v, interval),
            (other, one, made, (1 / interval[1], 1 / interval[0])),
        ):
            for total, kept in _padded(case):
                known = [("", total / kept)]
                if kept < total and numbers.named_factor(factor, known) is not None:
                    yield (
                        f"{less.called} divides by {total}, padding included "
                        f"({where(at.call)}), {more.called} by the {kept} that are no padding."
                    )
    both = ends(case)
    for side, other, wanted in (
        ((case.b, case.a, both[0]), (case.a, case.b, both[1])) if both else ()
    ):
        for e in entropies(side):
            for ignored in {0, -100, _most_common(other)}:
                for reduction in ("mean", "sum"):
                    loss = computed(
                        lambda e=e, i=ignored, r=reduction: F.cross_entropy(  # type: ignore[misc]
                            e.logits, e.labels, ignore_index=i, reduction=r
                        )
                    )
                    counted = e.ignored != ignored and bool((e.labels == ignored).any())
                    if counted and loss is not None and _scalar_fits(loss, wanted.tensor):
                        yield (
                            f"{side.called} counts the label {ignored} as a class "
                            f"({where(e.loss)}), {other.called} leaves it out: "
                            f"ignore_index={ignored}."
                        )
    yield from _pooled(case)


def _most_common(side: Side) -> int:
    for e in side.calls:
        if e.operation == "nll_loss_forward":
            return int(e.args[4])
    return 0


def _padded(case: Case) -> Iterator[tuple[int, int]]:
    """(places, places kept) of each given tensor of whole numbers that has padding (0)."""
    for side in (case.a, case.b):
        for ref in side.record.given.values():
            if not ref.dtype.is_floating_point and len(ref.shape) == 2:
                value = side.record.value(ref)
                yield value.numel(), int((value != 0).sum())
                yield value.numel(), int((value != -100).sum())


def _pooled(case: Case) -> Iterator[str]:
    """x.mean(1) against the mean of the places that are kept."""
    if case.phase != "forward":
        return
    masks = [m for side in (case.a, case.b) for m in _masks(side)]
    for side in (case.a, case.b):
        for m in side.common:
            x = m.tensor
            if x.dim() != 3:
                continue
            for mask in masks:
                if tuple(mask.shape) != tuple(x.shape[:2]) or bool(mask.all()):
                    continue
                kept = mask.to(torch.float64)[..., None]
                right = computed(lambda x=x, k=kept: (x * k).sum(1) / k.sum(1))  # type: ignore[misc]
                wrong = computed(lambda x=x: x.mean(1))  # type: ignore[misc]
                for own, other in ((case.b, case.a), (case.a, case.b)):
                    made = own.find(wrong)
                    if made is not None and other.find(right) is not None:
                        yield (
                            f"{own.called} takes the mean of all places, padding included "
                            f"({where(made.call)}), {other.called} of those that are kept."
                        )


def _masks(side: Side) -> Iterator[torch.Tensor]:
    """Whole numbers that were given, as what is kept: not 0; and truths that were given."""
    for ref in side.record.given.values():
        if len(ref.shape) == 2 and not ref.dtype.is_floating_point:
            value: Any = side.record.value(ref)
            yield value if value.dtype == torch.bool else value != 0
