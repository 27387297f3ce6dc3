"""Recurrent layers: the order of the gates, the place of a GRU's reset gate."""

from collections.abc import Iterator
from itertools import permutations

import torch

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed, fits
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.causes.side import Side
from torch_parity.compare.aten.naming import where
from torch_parity.compare.aten.record import Call
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.bounds.tensors import BoundedTensor

GATES = ("sigmoid", "tanh")
PRODUCTS = ("addmm", "mm", "linear")
NEAR = 40  # calls before and after the first of a stretch


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
    for one, other in case.both_ways:
        if not one.calls or not other.calls:
            continue
        # a cell writes its gates into one another's memory: they are looked for near the stretch
        at = other.calls[0].index
        theirs = [c for c in other.record.calls[max(at - NEAR, 0) : at + NEAR] if _is_part(c)]
        for c in [c for c in one.calls if _is_part(c)][:8]:
            own = _first(one, c)
            if own is None or any(
                (t := _result(other, d)) is not None and fits(own, t) for d in theirs
            ):
                continue
            for d in (d for d in theirs if d.operation == c.operation):
                mine, told = c.inputs[0], d.inputs[0]
                if mine.shape != told.shape or mine.offset == told.offset:
                    continue
                source = one.number(_moved(mine, told.offset))
                wanted = other.number(told)
                if source is None or wanted is None or not fits(source, wanted):
                    continue
                made, result = one.again(c, {mine: source}), _result(other, d)
                if made and result is not None and fits(made[0], result):
                    size = mine.shape[-1]
                    if mine.offset // size % 4 == told.offset // size % 4:
                        continue  # other rows or channels, and no other gate
                    yield (
                        f"{one.called} takes the {c.operation} of part {mine.offset // size % 4} "
                        f"of the gates ({where(c)}), {other.called} of part "
                        f"{told.offset // size % 4}: the gates are in another order."
                    )


def _result(side: Side, call: Call) -> BoundedTensor | None:
    found = side.number(call.outputs[0])
    return _first(side, call) if found is None else found


def _is_part(call: Call) -> bool:
    return call.phase == "forward" and call.operation in GATES and _part(call) is not None


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


@cause("gru_reset_after", "a GRU's reset gate before or after the product with the state")
def gru_reset_of_nothing(case: Case) -> Iterator[str]:
    """At the first step the state is 0: r (U 0 + c) against U (r 0) + c."""
    for one, other in case.both_ways:
        for d in (d for d in other.calls if d.operation == "mul" and len(d.inputs) == 2):
            gated = next((m.tensor for m in other.made if m.call is d), None)
            parts = [other.number(r) for r in d.inputs]
            if gated is None or not any(_is_gate(other, r) for r in d.inputs):
                continue
            for c in (c for c in one.calls if c.operation == "add"):
                for ref in c.inputs:
                    x = one.number(ref)
                    if x is None or not any(p is not None and fits(x, p) for p in parts):
                        continue
                    product = one.maker(ref)
                    if product is None or product.operation not in PRODUCTS:
                        continue
                    made = one.again(c, {ref: gated}) if _of_a_product_with(one, product) else []
                    if made and other.find(made[0]) is not None:
                        yield (
                            f"{one.called} applies the reset gate to the state before the product "
                            f"({where(product)}), {other.called} to the product ({where(d)}): "
                            "U (r h) against r (U h)."
                        )


def _is_gate(side: Side, ref: TensorRef) -> bool:
    call = side.maker(ref)
    return call is not None and call.operation == "sigmoid"


def _of_a_product_with(side: Side, product: Call) -> bool:
    """Whether what is multiplied by the weight was multiplied by something before."""
    makers = [side.maker(r) for r in product.inputs]
    return any(m is not None and m.operation == "mul" for m in makers)


def _times(product: BoundedTensor, r: BoundedTensor, other: Side) -> bool:
    """Whether the other side makes the gate times one of the parts of the product."""
    size = int(r.shape[-1])
    for start in range(0, int(product.shape[-1]) - size + 1, size):
        y = computed(lambda s=start: r * product[..., s : s + size])  # type: ignore[misc]
        if other.find(y) is not None:
            return True
    return False


__all__ = ["numbers"]
