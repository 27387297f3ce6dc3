"""Known mistakes in the scores of attention: their scale, their mask, the axis of the softmax."""

from collections.abc import Iterator

import numpy as np
import torch

from torch_parity.compare.aten.causes.attention import (
    SOFTMAX,
    Attention,
    compared,
    reaches,
    same_inputs,
)
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed, fits
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.causes.side import Side
from torch_parity.compare.aten.naming import where
from torch_parity.compare.aten.record import Call
from torch_parity.compare.bounds.tensors import BoundedTensor


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
            triangle = np.array_equal(_triangle(lacks.visible, 0), has.visible)
            if whole and triangle and not _masked_later(one, lacks, has):
                yield (
                    f"{one.called} attends to later places as well ({where(lacks.call)}), "
                    f"{other.called} to none: the causal mask is missing in {one.called}."
                )


def _masked_later(side: Side, late: Attention, early: Attention) -> bool:
    """Whether the side makes 0 of the shares that the other's mask hides from the softmax."""
    hides = late.visible & ~early.visible
    if late.weights is None or not hides.any() or (early.visible & ~late.visible).any():
        return False
    shares = late.weights
    kept = torch.from_numpy(early.visible.reshape(shares.shape))
    return side.find(computed(lambda: shares * kept)) is not None


@cause("attention_mask_after_softmax", "a mask on the shares of attention, not on its scores")
def attention_mask_after_softmax(case: Case) -> Iterator[str]:
    """The shares that are left do not add up to 1."""
    for a, b in _masks(case):
        for late, early, one, other in ((b, a, case.b, case.a), (a, b, case.a, case.b)):
            if _masked_later(one, late, early):
                yield (
                    f"{one.called} masks the shares of attention after the softmax "
                    f"({where(late.call)}), so that they no longer add up to 1; {other.called} "
                    f"masks the scores before it ({where(early.call)})."
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
