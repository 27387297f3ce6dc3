"""Numbers of one side that are a constant times the other's."""

from collections.abc import Iterator

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed, fits
from torch_parity.compare.aten.causes.registry import ALL, cause
from torch_parity.compare.aten.causes.relations import factors, place, relations
from torch_parity.compare.aten.causes.side import Made
from torch_parity.compare.aten.naming import where
from torch_parity.compare.bounds.tensors import BoundedTensor


@cause("wrong_sign", "the same numbers with the other sign", ALL, general=1)
def wrong_sign(case: Case) -> Iterator[str]:
    """v = -y"""
    for one, v, other, made, interval in factors(case):
        if numbers.named_factor(interval, [("-", -1.0)]):
            yield (
                f"{one.called} has {other.called}'s numbers times -1 ({where(place(v, made))}): "
                f"the sign of {one.names.of(v.ref)} is the other one."
            )


@cause("wrong_sign", "a term with the other sign", ALL, general=1)
def wrong_sign_of_a_term(case: Case) -> Iterator[str]:
    """v = s - t against y = s + t"""
    for one, v, y, other, made in relations(case):
        half = [
            computed(lambda v=v, y=y: (y + v.tensor) / 2),  # type: ignore[misc]
            computed(lambda v=v, y=y: (y - v.tensor) / 2),  # type: ignore[misc]
        ]
        if (
            half[0] is None
            or half[1] is None
            or not all(numbers.is_sharp(h) for h in half if h is not None)
        ):
            continue
        reads = [m for m in one.common if m.ref in v.call.inputs]
        parts = [
            _read_as(reads, half[0], 1),
            _read_as(reads, half[1], 1),
            _read_as(reads, half[1], -1),
        ]
        term = parts[1] or parts[2]
        if parts[0] is not None and term is not None and v.call.operation in ("add", "sub", "rsub"):
            yield (
                f"{one.called} takes {one.names.of(term.ref)} with the other sign than "
                f"{other.called} ({where(place(v, made))})."
            )


def _read_as(reads: list[Made], tensor: BoundedTensor, sign: int) -> Made | None:
    for m in reads:
        same = numbers.reshaped(m.tensor, tuple(tensor.shape))
        signed = same if sign == 1 or same is None else computed(lambda s=same: -s)  # type: ignore[misc]
        if signed is not None and fits(signed, tensor):
            return m
    return None


@cause("output_scaled", "the same numbers times a constant", general=2)
def output_scaled(case: Case) -> Iterator[str]:
    """v = y / c, forward."""
    yield from _scaled(case, "")


@cause("gradient_scaled", "a gradient times a constant", ("backward",), general=2)
def gradient_scaled(case: Case) -> Iterator[str]:
    """v = y / c, backward."""
    yield from _scaled(case, "The gradient ")


def _scaled(case: Case, what: str) -> Iterator[str]:
    for one, v, other, made, interval in factors(case):
        if v.tensor.numel() > 1:
            yield (
                f"{what}{one.names.of(v.ref)} of {one.called} is "
                f"{1 / numbers.middle(interval):.9g} times what {other.called} has "
                f"({where(place(v, made))})."
            )
