"""Halves that only one of two models computes in: in float64 nothing is left of autocast."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from torch_parity.compare.aten.doubled import HALVES
from torch_parity.compare.aten.pairing import Pairing
from torch_parity.compare.aten.record import Record

SHOWN = 4


def halves_differ(
    own: Sequence[Record],
    pair: Sequence[Record],
    pairs: Mapping[str, Pairing],
    called: tuple[str, str],
) -> Iterator[str]:
    """In words: the weights that one model alone casts to a half, and if there are none, the halves
    that one alone computes in. own are the records in the models' own precision, pair those that
    are compared, pairs the weights that belong together."""
    of_a, of_b = (_cast(record) for record in own)
    only: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for name, pairing in pairs.items():
        here = of_b[name]
        there = [set().union(*(of_a[n] for n in p.names)) for p in (pairing, *pairing.rivals)]
        if here not in there:
            for kind in here - there[0]:
                only[called[1], called[0], kind].append(name)
            for kind in there[0] - here:
                only[called[0], called[1], kind] += pairing.names
    for (one, other, kind), names in only.items():
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        yield (
            f"{one} casts {', '.join(names[:SHOWN])}{more} to {kind} (autocast), and {other} does "
            "not."
        )
    if only:
        return
    gone = [_computed_in(o) - _computed_in(p) for o, p in zip(own, pair, strict=True)]
    for kind in sorted(gone[0] ^ gone[1]):
        one, other = called if kind in gone[0] else called[::-1]
        yield f"{one} computes in {kind} (autocast), and {other} does not."


def _cast(record: Record) -> Mapping[str, set[str]]:
    """The halves that each given tensor is cast to."""
    names = defaultdict(list)
    for name, ref in record.given.items():
        names[ref.place, ref.offset].append(name)
    found: dict[str, set[str]] = defaultdict(set)
    for call in record.calls:
        if call.operation != "_to_copy" or call.outputs[0].dtype not in HALVES:
            continue
        source = call.inputs[0]
        if source.dtype not in HALVES:
            for name in names[source.place, source.offset]:
                found[name].add(_called(call.outputs[0].dtype))
    return found


def _computed_in(record: Record) -> set[str]:
    return {_called(r.dtype) for c in record.calls for r in c.outputs if r.dtype in HALVES}


def _called(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")
