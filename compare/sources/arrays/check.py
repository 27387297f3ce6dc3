"""Compare your own code with torch: give the arrays that it computed, any of them, by name."""

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from typing import Any

import numpy as np

from torch_parity.compare.case import Case
from torch_parity.compare.errors import InputError, suggest
from torch_parity.compare.flow.trace import Trace
from torch_parity.compare.judge.judge import judge_traces
from torch_parity.compare.judge.replayed import numeric
from torch_parity.compare.judge.report import Report
from torch_parity.compare.sources.arrays.layout import SAMPLES, Layout, explain, recognise
from torch_parity.compare.sources.arrays.start import Given, given
from torch_parity.compare.tensors import to_numpy

CALLED = ("mine", "torch")


def check(
    mine: Mapping[str, Any],
    start: Case | Given,
    *,
    layout: Layout | None = None,
    ignore: Iterable[str] = (),
) -> Report:
    """Judge your own arrays of one step: replay each operation on your own inputs, and compare the
    results with torch's.

    mine maps names (z1, a1, loss, dW1, W1 after the update...; also the course's Z1, A1, cost) to
    arrays, numbers or tensors. Dicts in it are flattened, so that you can give cache, grads and
    parameters together. start is the result of `given`, or just the case. Without a layout, that of
    start is used; arrays that differ from it are recognised and reported as a convention. ignore
    takes names (or patterns) in mine that do not belong to this step.

    Raises:
        InputError: there is nothing to judge, or an array does not hold numbers.
    """
    if not isinstance(mine, Mapping):
        raise InputError(f"mine is a {type(mine).__name__}, expected a dict of arrays by name")
    at = start if isinstance(start, Given) else given(start)
    declared = layout or at.layout
    trace = at.recorded.torch
    named = _named(mine, at, tuple(ignore))
    recognised = declared if layout else recognise(named, trace, at.m, declared)
    ours = {n: recognised.to_ours(n, a, at.m) for n, a in named.items()}
    ordered = {n: ours[n] for n in [*(n for n in trace if n in ours), *ours]}
    judgement = judge_traces(
        Trace(at.recorded.start, ordered, at.recorded.nodes),
        Trace(at.recorded.start, {n: trace[n] for n in trace if n in ours}, at.recorded.nodes),
        CALLED,
    )
    conventions = (*at.conventions, *explain(recognised, declared), *_flat_outputs(named))
    return Report(judgement, CALLED, conventions, tuple(_notes(ordered, trace)))


def assert_parity(
    mine: Mapping[str, Any],
    start: Case | Given,
    *,
    layout: Layout | None = None,
    ignore: Iterable[str] = (),
) -> Report:
    """check, for a test suite: return the report if it passed.

    Raises:
        ParityError: (an AssertionError) something is wrong, or could not be judged; the message
            says what is wrong first, why, on which side, and what to write instead.
        InputError: see check.
    """
    __tracebackhide__ = True
    return check(mine, start, layout=layout, ignore=ignore).require(strict=True)


def _named(mine: Mapping[str, Any], at: Given, ignore: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Arrays under our names.

    Raises:
        InputError: two arrays of one name, nothing left to judge, or a pattern without a match.
    """
    flat = list(_flat(mine))
    for pattern in ignore:
        if not any(fnmatch(name, pattern) for name, _ in flat):
            raise InputError(f"ignore has {pattern!r}, which matches none of your arrays")
    found: dict[str, np.ndarray] = {}
    for theirs, value in flat:
        if any(fnmatch(theirs, pattern) for pattern in ignore):
            continue
        name = _our_name(theirs, at)
        array = _array(theirs, value, at.case.dtype)
        if name in found and not np.array_equal(found[name], array):
            raise InputError(f"{theirs} is given twice, with different numbers; give it once")
        found[name] = array
    known = [n for n in found if n in at.recorded.torch]
    if not known:
        names = ", ".join(list(at.recorded.torch)[:8])
        raise InputError(f"none of your arrays belongs to this step; its tensors are {names}, ...")
    return found


def _flat(mine: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(name, value), with dicts flattened; optimizer state {"v": {"dW1": ...}} is called vdW1."""
    for name, value in mine.items():
        if isinstance(value, Mapping):
            yield from _flat(value, name if name in ("v", "s") else "")
        else:
            yield prefix + str(name), value


def _our_name(theirs: str, at: Given) -> str:
    """Our name for the course's Z1, A1, AL, dZ1, cost, vdW1.

    The course overwrites A1 with the result of dropout, so with a mask it is our h1.
    """
    trace = at.recorded.torch
    if theirs in trace:
        return theirs
    if theirs in ("cost", "J"):
        return "cost" if "cost" in trace else "loss"
    name = theirs.replace("Yhat", "AL").replace("y_hat", "AL")
    last = re.sub(r"\D", "", at.recorded.pair.manual.net.result)
    name = re.sub(r"L$", last, name)
    if found := re.fullmatch(r"([vs])d([Wb]\d+)", name):
        return found[1] + found[2]
    if found := re.fullmatch(r"(d?)([ZAHzah])(\d+)", name):
        slope, letter, layer = found[1], found[2].lower(), found[3]
        if letter == "a" and not slope and f"mask{layer}" in at.recorded.start:
            letter = "h"
        return slope + letter + layer
    return theirs


def _array(name: str, value: Any, dtype: str) -> np.ndarray:
    """As a NumPy array in this machine's byte order; a Python number gets the dtype of the case.

    Raises:
        InputError: it does not hold real numbers.
    """
    if hasattr(value, "detach"):
        value = to_numpy(value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(f"{name} is not an array: {error}") from None
    if not numeric(array):
        raise InputError(f"{name} holds {array.dtype}, expected real numbers")
    if not isinstance(value, np.ndarray | np.generic) and array.dtype != dtype:
        array = array.astype(dtype)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _flat_outputs(mine: Mapping[str, np.ndarray]) -> Iterator[str]:
    names = [n for n, a in mine.items() if SAMPLES.fullmatch(n) and a.ndim == 1]
    if names:
        yield f"{', '.join(names)}: (m,) is taken as (m, 1): {names[0]} = yours[:, None]"


def _notes(mine: Mapping[str, np.ndarray], trace: Mapping[str, np.ndarray]) -> Iterator[str]:
    absent = [n for n in trace if n not in mine]
    if absent:
        shown = ", ".join(absent[:12]) + (", ..." if absent[12:] else "")
        yield (
            f"Judged {len(trace) - len(absent)} of the step's {len(trace)} tensors. You did not "
            f"give these, so they were computed from the others: {shown}."
        )
    for name in mine:
        if name not in trace:
            yield f"No tensor of this step is called {name}: {suggest(name, trace)}"
