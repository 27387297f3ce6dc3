"""Recurrent layers: the order of the gates, the place of a GRU's reset gate."""

from collections.abc import Iterator
from itertools import permutations

import torch

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case, Side
from torch_parity.compare.aten.causes.numbers import computed, fits
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.record import Call
from torch_parity.compare.aten.reports import where
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.bounds.tensors import BoundedTensor

GATES = ("sigmoid", "tanh")
PRODUCTS = ("addmm", "mm", "linear")


@cause("gate_order", "the gates of an LSTM or a GRU in another order")
def gate_order(case: Case) -> Iterator[str]:
    """i, f, g, o against i, g, f, o; r, z, n against z, r, n."""
    yield from _read_in_another_order(case)
    yield from _loaded_in_another_order(case)
    for swap in case.swaps:
        made = swap.one.maker(swap.v.ref), swap.other.maker(swap.y.ref)
        if not (swap.v.common and swap.y.common) or None in made:
            continue
        if all(c is not None and c.operation == "sigmoid" for c in made):
            yield (
                f"{swap.one.called} takes for one gate what {swap.other.called} takes for another "
                f"({where(swap.v.call)}): {swap.v.call.operation} reads another part of the gates."
            )


def _read_in_another_order(case: Case) -> Iterator[str]:
    """The same function of other parts of the same sum."""
    gates = [
        [c for c in side.calls if c.operation in GATES and _part(c) is not None]
        for side in (case.a, case.b)
    ]
    for c in gates[1][:8]:
        for d in gates[0][:8]:
            if c.operation != d.operation:
                continue
            of_b, of_a = c.inputs[0], d.inputs[0]
            if of_b.shape != of_a.shape or of_b.offset == of_a.offset:
                continue
            own, other = case.b.number(of_b), case.a.number(of_a)
            mine = case.b.number(_moved(of_b, of_a.offset))
            if own is None or other is None or mine is None or not fits(mine, other):
                continue
            made = case.b.again(c, {of_b: other})
            if made and case.a.find(made[0]) is not None and case.a.find(_first(case.b, c)) is None:
                size = of_b.shape[-1]
                yield (
                    f"{case.b.called} takes the {c.operation} of part {of_b.offset // size % 4} of "
                    f"the gates ({where(c)}), {case.a.called} of part {of_a.offset // size % 4}: "
                    "the gates are in another order."
                )


def _first(side: Side, call: Call) -> BoundedTensor | None:
    return next((m.tensor for m in side.made if m.call is call), None)


def _part(call: Call) -> int | None:
    """The offset of what it reads, if that is a part of the columns of something."""
    ref = call.inputs[0]
    row = ref.stride[0] if len(ref.shape) > 1 else 0
    return ref.offset if row > ref.shape[-1] else None


def _moved(ref: TensorRef, offset: int) -> TensorRef:
    return TensorRef(ref.storage, ref.version, ref.shape, ref.stride, offset, ref.dtype)


def _loaded_in_another_order(case: Case) -> Iterator[str]:
    """Weights whose parts are in another order: with a's order, b's product is a's."""
    for call in (c for c in case.b.calls[:6] if c.operation in (*PRODUCTS, "lstm", "gru")):
        given = [r for r in call.inputs if case.b.given_name(r)]
        for parts in (4, 3):
            for order in permutations(range(parts)):
                if order == tuple(range(parts)):
                    continue
                swapped = {r: _ordered(case.b.number(r), order) for r in given}
                swapped = {r: t for r, t in swapped.items() if t is not None}
                made = case.b.again(call, swapped) if swapped else []
                if made and case.a.find(made[0]) is not None:
                    names = ", ".join(case.b.given_name(r) for r in swapped)
                    yield (
                        f"{names} of {case.b.called} has the parts {order} of {case.a.called}'s "
                        f"({where(call)}): the gates were loaded in another order."
                    )
                    return


def _ordered(x: BoundedTensor | None, order: tuple[int, ...]) -> BoundedTensor | None:
    """The parts of the last dimension in another order."""
    if x is None or x.shape[-1] % len(order) or x.shape[-1] == len(order):
        return None
    return computed(lambda: torch.cat([x.chunk(len(order), -1)[i] for i in order], -1))


@cause("gru_reset_after", "a GRU's reset gate before or after the product with the state")
def gru_reset_after(case: Case) -> Iterator[str]:
    """U (r h) against r (U h)"""
    for one, other in case.both_ways:
        for call in (c for c in one.calls if c.operation in PRODUCTS):
            reads = [r for r in call.inputs if not one.given_name(r)]
            for ref in reads:
                before = one.maker(ref)
                if before is None or before.operation != "mul" or len(before.inputs) != 2:
                    continue
                gate, state = (one.number(r) for r in before.inputs)
                if gate is None or state is None:
                    continue
                for r, h in ((gate, state), (state, gate)):
                    made = one.again(call, {ref: h})
                    if made and _times(made[0], r, other):
                        yield (
                            f"{one.called} applies the reset gate to the state before the product "
                            f"({where(call)}), {other.called} to the product: "
                            "U (r h) against r (U h)."
                        )


def _times(product: BoundedTensor, r: BoundedTensor, other: Side) -> bool:
    """Whether the other side makes the gate times one of the parts of the product."""
    size = int(r.shape[-1])
    for start in range(0, int(product.shape[-1]) - size + 1, size):
        y = computed(lambda s=start: r * product[..., s : s + size])  # type: ignore[misc]
        if other.find(y) is not None:
            return True
    return False


__all__ = ["numbers"]
