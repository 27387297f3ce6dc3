"""Does a model compute the same when it is run again from the same state? If not, something that
nobody sees decides what it computes (a counter in a closure, the time, a file), and two right
models differ by it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from torch_parity.compare.aten.comparison import Comparison
from torch_parity.compare.aten.constants import shared_constants
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.recording import Source, recorded, recorded_in_float64
from torch_parity.compare.aten.step import Step
from torch_parity.compare.errors import InputError
from torch_parity.compare.tensors import to_numpy

SAME = 1e-9  # of the largest entry: sums on a GPU are not made in one order


def unjudged_unless_repeatable(
    there: Comparison, sources: tuple[Source, Source], own: Sequence[Record], pair: Sequence[Record]
) -> Comparison:
    """Results that differ are not judged if one of the models differs from itself."""
    ends = there.alignment.ends
    if not any(e.outcome == "wrong" for e in ends):
        return there
    run = recorded if pair is own else recorded_in_float64
    constants = {} if pair is own else shared_constants(own)
    for source, drew, first in zip(sources, own, pair, strict=True):
        if not isinstance(source, Step):
            continue
        if _repeats(partial(run, replace(source, constants=constants), drew), first):
            continue
        reason = (
            f"{source.called} computes something else when it is run again from the same state; "
            "it depends on what is not part of it, such as a counter in a closure"
        )
        for i, verdict in enumerate(ends):
            if verdict.outcome == "wrong":
                ends[i] = replace(verdict, outcome="unjudged", reason=reason)
        return replace(there, parting=None)
    return there


def _repeats(run: Callable[[], Record], first: Record) -> bool:
    try:
        second = run()
    except InputError:
        return False
    return first.results.keys() == second.results.keys() and all(
        _same(first, second, name) for name in first.results
    )


def _same(first: Record, second: Record, name: str) -> bool:
    one, other = first.results[name], second.results[name]
    if one.unjudged or other.unjudged or one.shape != other.shape:
        return one.shape == other.shape
    x, y = (to_numpy(r.value(ref)) for r, ref in ((first, one), (second, other)))
    if x.dtype.kind != "f":
        return np.array_equal(x, y)
    largest = np.abs(np.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)).max(initial=0.0)
    return bool(np.isclose(x, y, 0.0, SAME * largest, equal_nan=True).all())
