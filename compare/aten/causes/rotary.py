"""Rotary positions: which columns are turned together."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.causes.side import Made, Side
from torch_parity.compare.aten.naming import where
from torch_parity.compare.bounds.tensors import BoundedTensor


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
