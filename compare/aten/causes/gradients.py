"""Gradients: cut, untied, of padding, of repeated indices; and the factors of what was dropped."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed, fits_somehow
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.causes.relations import factors, place
from torch_parity.compare.aten.causes.side import Made, Side
from torch_parity.compare.aten.causes.terms import term_fits, terms
from torch_parity.compare.aten.ends import result_of
from torch_parity.compare.aten.naming import where
from torch_parity.compare.aten.record import Call
from torch_parity.compare.bounds.tensors import BoundedTensor

BACKWARD = ("backward",)
BOTH = ("forward", "backward")


@cause("detached", "a gradient that does not arrive", ("backward", "update"))
def detached(case: Case) -> Iterator[str]:
    """detach(), no_grad(), requires_grad=False"""
    lost = [n for n in case.lacking if n.endswith(".grad") and not _elsewhere(case.b, n)]
    if lost:
        yield _detached_told(case.b, case.a, lost)
        return
    end = case.parting.end
    if end.outcome == "absent" and end.end.name.endswith(".grad"):
        yield _detached_told(case.a, case.b, [end.end.name])


def _elsewhere(side: Side, name: str) -> bool:
    """Whether the gradient has another name there: that of a weight that is shared."""
    return result_of(side.record, name.removesuffix(".grad"), "", ".grad") in side.record.results


def _detached_told(lacks: Side, has: Side, names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    read = {ref.place for call in lacks.record.calls for ref in call.inputs}
    given = [lacks.record.given.get(name.removesuffix(".grad")) for name in names]
    unused = all(ref is not None and ref.place not in read for ref in given)
    why = f"the gradient is cut off in {lacks.called} (detach, no_grad or requires_grad=False)"
    if unused:
        why = f"{lacks.called} does not use {'it' if len(names) == 1 else 'them'}"
    return f"{lacks.called} makes no {', '.join(names[:3])}{more}, which {has.called} makes: {why}."


@cause("detached", "a gradient that does not arrive", BACKWARD, general=1)
def branch_detached(case: Case) -> Iterator[str]:
    """One of several gradients of the same tensor is missing."""
    for t in terms(case):
        # autograd adds up in the node that made the last of them; a Function of a user's own is
        # called without a number
        added = t.with_it.call
        if t.term.common or added.operation != "add" or not added.node.endswith("Backward0"):
            continue
        if term_fits(t.term.tensor, t.without.tensor):  # g + g is 2 g: a factor, and no branch
            continue
        yield (
            f"{t.lacks.called} leaves out {t.has.names.of(t.term.ref)} ({where(t.term.call)}) in a "
            f"sum of gradients: this branch is cut off in {t.lacks.called} (detach or no_grad)."
        )


@cause("weights_untied", "weights that are shared on one side only", BACKWARD)
def weights_untied(case: Case) -> Iterator[str]:
    """One gradient is the sum of two of the other side's."""
    if case.end is None or not case.parting.end.end.name.endswith(".grad"):
        return
    of_a, of_b = case.end
    for one, whole, part in ((case.b, of_a, of_b), (case.a, of_b, of_a)):
        rest = computed(lambda w=whole, p=part: w.tensor - p.tensor)  # type: ignore[misc]
        if rest is None or not (numbers.is_sharp(rest) and numbers.is_sharp(part.tensor)):
            continue
        for name, ref in one.record.results.items():
            if not name.endswith(".grad") or ref.place == part.ref.place:
                continue
            other = one.derived(ref) if ref.shape == part.ref.shape else None
            if other is None or not fits_somehow(rest, other):
                continue
            own = next((n for n, r in one.record.results.items() if r == part.ref), "a weight")
            shared = case.b if one is case.a else case.a
            yield (
                f"{own.removesuffix('.grad')} and {name.removesuffix('.grad')} are two weights in "
                f"{one.called} and one in {shared.called}, whose gradient is the sum of both: tie "
                "them."
            )


@cause("padding_index", "the row of the padding gets a gradient on one side", BACKWARD)
def padding_index(case: Case) -> Iterator[str]:
    """nn.Embedding(padding_idx=0)"""
    for one, other in case.both_ways:
        for call in one.calls:
            if call.operation != "embedding_dense_backward":
                continue
            ids, rows, own = call.args[1], int(call.args[2]), int(call.args[3])
            used = np.unique(one.read(ids).numpy())
            plain = one.with_arguments(call, call.args)
            for row in (-1, *(int(i) for i in used[:64])):
                if row == own or row >= rows:
                    continue
                made = one.with_arguments(call, (*call.args[:3], row, *call.args[4:]))
                if plain and made and _same_numbers(plain[0], made[0]):
                    continue  # no gradient arrives at this row, whatever it is
                if made and (other.find(made[0]) is not None or _is_end(case, one, call, made[0])):
                    told = [f"padding_idx={i}" if i >= 0 else "no padding_idx" for i in (own, row)]
                    yield (
                        f"{one.called}'s embedding has {told[0]} ({where(call)}), "
                        f"{other.called}'s {told[1]}."
                    )


def _same_numbers(first: BoundedTensor, second: BoundedTensor) -> bool:
    return np.array_equal(first.bounded.value, second.bounded.value)


def _is_end(case: Case, one: Side, call: Call, tensor: BoundedTensor) -> bool:
    """Whether it is the other side's result, where the call makes this side's."""
    if case.end is None:
        return False
    own, wanted = (case.end[1], case.end[0]) if one is case.b else case.end
    same = own.ref.place in {r.place for r in call.outputs}
    return same and fits_somehow(tensor, wanted.tensor)


@cause("repeated_indices_lost", "of several writes to the same row only one is kept", BOTH)
def repeated_indices_lost(case: Case) -> Iterator[str]:
    """index_put without accumulate against index_add"""
    for one, other in case.both_ways:
        for call in one.calls:
            found = _accumulated(one, call)
            if found is None:
                continue
            index, source, rows = found
            for last in (True, False):
                kept = _one_of_each(index, source, rows, last)
                if kept is not None and (
                    other.find(kept) is not None or _is_end(case, one, call, kept)
                ):
                    yield (
                        f"{one.called} adds up what goes to the same row ({where(call)}), "
                        f"{other.called} keeps one of them: index_add, or index_put with "
                        "accumulate=True."
                    )


def _accumulated(side: Side, call: Call) -> tuple[np.ndarray, BoundedTensor, int] | None:
    """(index, source, rows) of a call that adds rows up."""
    args, operation = call.args, call.operation
    if operation == "embedding_dense_backward":
        index, source, rows = side.read(args[1]), side.number(args[0]), int(args[2])
    elif operation == "index_add" and args[0].shape:
        index, source, rows = side.read(args[2]), side.number(args[3]), args[0].shape[0]
    elif operation in ("scatter_add", "scatter_reduce") and args[0].shape:
        index, source, rows = side.read(args[2]), side.number(args[3]), args[0].shape[0]
        if index.dim() > 1:
            index = index[:, 0]
    elif operation == "index_put" and len(args) > 3 and args[3]:
        refs = [r for r in args[1] if r is not None]
        if len(refs) != 1:
            return None
        index, source, rows = side.read(refs[0]), side.number(args[2]), args[0].shape[0]
    else:
        return None
    if source is None or index.dtype != torch.int64:
        return None
    flat = computed(lambda: source.reshape(index.numel(), -1))
    return None if flat is None else (index.reshape(-1).numpy(), flat, int(rows))


def _one_of_each(
    index: np.ndarray, source: BoundedTensor, rows: int, last: bool
) -> BoundedTensor | None:
    chosen: dict[int, int] = {}
    for at, row in enumerate(index.tolist()):
        if last or row not in chosen:
            chosen[row] = at
    if len(chosen) == index.size:
        return None
    value = np.zeros((rows, source.shape[1]), numbers.value_of(source).dtype)
    error = np.zeros(value.shape)
    for row, at in chosen.items():
        if 0 <= row < rows:
            value[row] = numbers.value_of(source)[at]
            error[row] = numbers.error_of(source)[at]
    return numbers.with_error(value, error, source.dtype)


# Factors with a name ------------------------------------------------------------------------------


@cause("embedding_scaled", "embeddings times sqrt(d) on one side", general=1)
def embedding_scaled(case: Case) -> Iterator[str]:
    """x * sqrt(d) against x"""
    for one, v, other, made, interval in factors(case):
        if v.tensor.dim() < 2 or not any(
            s.comes_from(m.ref, {"embedding"}) for s, m in ((one, v), (other, made))
        ):
            continue
        root = math.sqrt(v.tensor.shape[-1])
        for scaled, plain, number in ((one, other, 1 / root), (other, one, root)):
            if numbers.named_factor(interval, [("root", number)]):
                yield (
                    f"{scaled.called} multiplies the embedding by sqrt({v.tensor.shape[-1]}) "
                    f"({where(place(v, made))}), {plain.called} does not."
                )


def _drop_rates(side: Side, made: Made) -> Iterator[float]:
    """p of the dropout that a tensor comes from."""
    call = side.comes_from(made.ref, {"native_dropout"})
    if call is not None:
        yield float(call.args[1])
    call = side.comes_from(made.ref, {"bernoulli"})
    if call is not None:
        yield 1 - _kept(side, call)


def _kept(side: Side, call: Call) -> float:
    """The probability that bernoulli draws 1 with."""
    given = [x for x in (*call.args, *call.kwargs.values()) if isinstance(x, float)]
    return given[0] if given else float(side.record.value(call.inputs[0]).reshape(-1)[0])


@cause("dropout_unscaled", "dropout without the division by 1 - p", general=1)
def dropout_unscaled(case: Case) -> Iterator[str]:
    """x mask against x mask / (1 - p)"""
    for one, v, other, made, interval in factors(case):
        rates = {r for s, m in ((one, v), (other, made)) for r in _drop_rates(s, m)}
        for p in (r for r in rates if 0 < r < 1):
            for plain, scaled, number in ((one, other, 1 / (1 - p)), (other, one, 1 - p)):
                if numbers.named_factor(interval, [("p", number)]):
                    yield (
                        f"{plain.called} drops out with p={p:.6g} and leaves the rest as it is "
                        f"({where(place(v, made))}), {scaled.called} divides it by 1 - p."
                    )


@cause("dropout_p", "dropout with another p")
def dropout_p(case: Case) -> Iterator[str]:
    """nn.Dropout(0.1) against nn.Dropout(0.9)"""
    for c in (c for c in case.b.calls if c.operation == "native_dropout"):
        for d in (d for d in case.a.calls if d.operation == "native_dropout"):
            p, q = float(c.args[1]), float(d.args[1])
            x, y = (s.number(k.args[0]) for s, k in ((case.b, c), (case.a, d)))
            if p != q and x is not None and y is not None and fits_somehow(x, y):
                yield (
                    f"{case.b.called} drops out with p={p:.6g} ({where(c)}), {case.a.called} with "
                    f"p={q:.6g}."
                )
    for one, v, other, made, interval in factors(case):
        own = next(_drop_rates(one, v), 0.0)
        theirs = next(_drop_rates(other, made), 0.0)
        if not (0 < own < 1 and 0 < theirs < 1 and own != theirs):
            continue
        if numbers.named_factor(interval, [("p", (1 - own) / (1 - theirs))]):
            yield (
                f"{one.called} drops out with p={own:.6g} ({where(place(v, made))}), "
                f"{other.called} with p={theirs:.6g}."
            )


__all__ = ["Any"]
