"""Convolutions: the kernel's direction, padding on one side; the order in which pixels are read."""

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import torch
import torch.nn.functional as F

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed, fits
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.causes.side import Side
from torch_parity.compare.aten.naming import where
from torch_parity.compare.aten.record import Call
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.bounds.tensors import BoundedTensor

CONVOLUTION = "convolution"


@cause("kernel_flipped", "a convolution with its kernel turned round")
def kernel_flipped(case: Case) -> Iterator[str]:
    """w.flip(2, 3) against w: a true convolution, not a cross-correlation."""
    for one, other in case.both_ways:
        for call in (c for c in one.calls if c.operation == CONVOLUTION):
            weight = one.number(call.args[1])
            if weight is None or weight.dim() < 3:
                continue
            dims = tuple(range(2, weight.dim()))
            turned = computed(lambda w=weight, d=dims: w.flip(d))  # type: ignore[misc]
            if turned is None or fits(turned, weight):
                continue
            made = one.again(call, {call.args[1]: turned})
            meets = other.find(made[0]) if made else None
            if meets is not None:
                yield (
                    f"The kernel of {one.called}'s convolution is {other.called}'s turned round "
                    f"({where(call)}): flip({', '.join(map(str, dims))})."
                )


@cause("padding_asymmetric", "padding on one side, where the other model pads both")
def padding_asymmetric(case: Case) -> Iterator[str]:
    """TensorFlow's SAME with a stride, causal padding."""
    for one, other in case.both_ways:
        for pad in (c for c in one.calls if c.operation == "constant_pad_nd"):
            sides = list(pad.args[1])
            totals = [low + high for low, high in zip(sides[::2], sides[1::2], strict=True)]
            for told, pads in _paddings(totals):
                if pads == sides:
                    continue
                padded = one.with_arguments(pad, (pad.args[0], pads, *pad.args[2:]))
                if padded and _meets(one, other, pad.outputs[0], padded[0]):
                    yield _padding_told(case, one, other, pad, sides, pads, told)
        for call in (c for c in one.calls if c.operation == CONVOLUTION):
            x, padding = one.number(call.args[0]), list(call.args[4])
            if x is None or not any(padding) or call.args[6]:
                continue
            totals = [2 * p for p in reversed(padding)]
            own = [p for p in reversed(padding) for p in (p, p)]
            for told, pads in _paddings(totals):
                if pads == own:
                    continue
                padded_x = computed(lambda x=x, pads=pads: F.pad(x, pads))  # type: ignore[misc]
                if padded_x is None:
                    continue
                made = _convolved(one, call, padded_x)
                if made is not None and other.find(made) is not None:
                    yield _padding_told(case, one, other, call, own, pads, told)


def _convolved(side: Side, call: Call, x: BoundedTensor) -> BoundedTensor | None:
    weight = side.number(call.args[1])
    bias = side.number(call.args[2]) if isinstance(call.args[2], TensorRef) else None
    stride, dilation, groups = call.args[3], call.args[5], call.args[8]
    nothing = [0] * len(call.args[4])
    return computed(
        lambda: torch.ops.aten.convolution(
            x, weight, bias, stride, nothing, dilation, False, nothing, groups
        )
    )


def _paddings(totals: list[int]) -> Iterator[tuple[str, list[int]]]:
    yield "on both sides", [p for t in totals for p in (t // 2, t - t // 2)]
    yield "before", [p for t in totals for p in (t, 0)]
    yield "after", [p for t in totals for p in (0, t)]


def _meets(one: Side, other: Side, ref: TensorRef, tensor: BoundedTensor) -> bool:
    if other.find(tensor) is not None:
        return True
    return any(other.find(after.tensor) is not None for after in one.onwards(ref, tensor))


def _padding_told(
    case: Case, one: Side, other: Side, call: Call, own: Any, pads: Any, told: str
) -> str:
    return (
        f"{one.called} pads by {tuple(own)} ({where(call)}), {other.called} {told}, by "
        f"{tuple(pads)}."
    )


@cause("flatten_order", "images flattened channels last, or channels first")
def flatten_order(case: Case) -> Iterator[str]:
    """NHWC against NCHW"""
    for swap in case.swaps:
        for v, y, one, other in swap.both_ways:
            source = _image(one, v.ref) or _image(other, y.ref)
            if source is None:
                continue
            shape = source
            orders = [(0, *range(2, len(shape)), 1), (0, len(shape) - 1, *range(1, len(shape) - 1))]
            for order in orders:
                first = _permuted(y.tensor, shape, order)
                if first is not None and _flat_fits(first, v.tensor) and min(shape[1:]) > 0:
                    yield (
                        f"{one.called} flattens the channels last (NHWC: {where(v.call)}), "
                        f"{other.called} first (NCHW)."
                        if order == orders[0]
                        else f"{one.called} flattens the channels first (NCHW: {where(v.call)}), "
                        f"{other.called} last (NHWC)."
                    )


def _image(side: Side, ref: TensorRef) -> tuple[int, ...] | None:
    """The shape of the image that a flat tensor comes from."""
    todo = [ref]
    for _ in range(4):
        if not todo:
            return None
        call = side.maker(todo.pop())
        if call is None:
            return None
        out = next((o for o in call.outputs if o.dtype.is_floating_point), None)
        if out is not None and len(out.shape) in (4, 5) and call.operation not in ("clone", "copy"):
            return out.shape
        todo += call.inputs[:1]
    return None


def _permuted(
    x: BoundedTensor, shape: tuple[int, ...], order: tuple[int, ...]
) -> BoundedTensor | None:
    return computed(lambda: x.reshape(shape).permute(order).reshape(-1))


def _flat_fits(flat: BoundedTensor, other: BoundedTensor) -> bool:
    found = computed(lambda: other.reshape(-1))
    return found is not None and fits(flat, found)


__all__ = ["numbers", "permutations"]
