"""The heads of attention split or joined without the transpose."""

from collections.abc import Iterator

from torch_parity.compare.aten.causes.attention import compared, reaches
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed, fits
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.causes.side import Made, Side
from torch_parity.compare.aten.naming import where
from torch_parity.compare.bounds.tensors import BoundedTensor


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
        for v, y, one, other in swap.both_ways:
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
