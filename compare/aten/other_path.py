"""A program that takes another path in float64 than in its own precision: a branch on x.dtype, a
kernel for float32 alone. What is compared in float64 says nothing of the path it takes itself."""

import math
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from torch_parity.compare.aten.naming import where
from torch_parity.compare.aten.others import Other
from torch_parity.compare.aten.record import Call, Record
from torch_parity.compare.torch_private import flattened

# These change the type of numbers, or nothing.
CASTS = {"_to_copy", "to", "detach", "alias", "clone", "copy", "lift_fresh", "_unsafe_view", "view"}
SAME = 1e-6  # a constant as float32 has it, and as a Python number


def other_constants(
    own: Sequence[Record], pair: Sequence[Record], called: tuple[str, str]
) -> Iterator[Other]:
    """Calls that a model makes with another number in its own precision than in float64."""
    for name, here, there in zip(called, own, pair, strict=True):
        calls = _both(here, there)
        if any(x is None or y is None or x.operation != y.operation for x, y in calls):
            continue
        for x, y in calls:
            differ = x and y and next(_differ(x, y), None)
            if x and differ:
                said = (
                    f"Not judged: {name} computes {x.operation} with {differ[0]:.9g} in its own "
                    f"precision and with {differ[1]:.9g} in float64 ({where(x)}), where the two "
                    "models are compared."
                )
                yield Other(f"{x.operation} of {name}", "unjudged", said)
                break


def other_calls(
    own: Sequence[Record], pair: Sequence[Record], called: tuple[str, str]
) -> Iterator[str]:
    """A sentence for a model that makes other calls in its own precision than in float64."""
    for name, here, there in zip(called, own, pair, strict=True):
        for x, y in _both(here, there):
            if x is None or y is None or x.operation != y.operation:
                of_own = "no call" if x is None else f"{x.operation} ({where(x)})"
                in_float64 = "no call" if y is None else y.operation
                yield (
                    f"{name} makes other calls in its own precision than in float64, where the two "
                    f"were compared: first {of_own} in the place of {in_float64}."
                )
                break


def _both(own: Record, double: Record) -> list[tuple[Call | None, Call | None]]:
    if own is double:
        return []
    here, there = (
        [c for c in r.of_phase("forward") if c.operation not in CASTS] for r in (own, double)
    )
    return list(zip_longest(here, there))


def _differ(x: Call, y: Call) -> Iterator[tuple[float, float]]:
    numbers = (
        [n for n in flattened((c.args, dict(c.kwargs))) if isinstance(n, float)] for c in (x, y)
    )
    for a, b in zip(*numbers, strict=False):
        if not math.isclose(a, b, rel_tol=SAME) and not (math.isnan(a) and math.isnan(b)):
            yield a, b
