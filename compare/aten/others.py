"""What models return besides tensors: numbers, strings, arrays."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.unstored import Unstored


def others_differ(a: Record, b: Record, called: tuple[str, str]) -> Iterator[str]:
    """What only one returns, and what is not the same, in words."""
    for name in dict.fromkeys([*a.others, *b.others]):
        if name not in a.others or name not in b.others:
            side = called[0] if name in a.others else called[1]
            yield f"Only {side} returns {name}."
            continue
        first, second = a.others[name], b.others[name]
        if isinstance(first, Unstored) or isinstance(second, Unstored):
            continue
        if not _same(first, second):
            yield f"{name} is {_brief(first)} in {called[0]} and {_brief(second)} in {called[1]}."


def others_unstored(a: Record, b: Record) -> Iterator[str]:
    """What both return, and a file could not hold."""
    for name in (n for n in a.others if n in b.others):
        for value in (a.others[name], b.others[name]):
            if isinstance(value, Unstored):
                yield f"{name} is of the type {value.kind}"
                break


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return np.array_equal(np.asarray(first), np.asarray(second))
    return bool(first == second) or (first != first and second != second)


def _brief(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
