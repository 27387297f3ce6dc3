"""What models return besides tensors: strings, whole numbers, arrays, objects."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.unstored import Unstored

# Of these every value exists once, so that two are equal if they are the same object.
UNIQUE = (Enum, type, torch.dtype, torch.layout, torch.memory_format, type(None))


@dataclass(frozen=True)
class Other:
    """A result of both models that is no tensor; sentence is what a report says of it."""

    name: str
    outcome: Literal["same", "differs", "unjudged"]
    sentence: str = ""


def others_of(
    own: Sequence[Record], pair: Sequence[Record], called: tuple[str, str]
) -> Iterator[Other]:
    """Each compared with that of the same name. A number that only one of the two changes in
    itself is not compared; nor is one that may come from a clock.

    own are the records that are compared, pair those of the same steps in float64.
    """
    a, b = own
    for name in dict.fromkeys([*a.others, *b.others]):
        if name not in a.others or name not in b.others:
            if name.startswith("new "):
                yield from _changed_by_one(name, own, called)
                continue
            side = called[0] if name in a.others else called[1]
            yield Other(name, "differs", f"Only {side} returns {name}.")
            continue
        first, second = a.others[name], b.others[name]
        lost = next((v for v in (first, second) if isinstance(v, Unstored)), None)
        if lost is not None:
            said = f"Not judged: {name}: it is of the type {lost.kind}, which a file cannot hold."
            yield Other(name, "unjudged", said)
            continue
        alike = same(first, second)
        if alike is None:
            kind = type(first).__name__
            said = f"Not judged: {name}: two objects of type {kind} cannot be compared."
            yield Other(name, "unjudged", said)
        elif alike:
            yield Other(name, "same")
        elif name.startswith("new ") and _share_digits(first, second):
            said = f"Not judged: {name}: {first} and {second} share half of their digits."
            yield Other(name, "unjudged", said)
        elif name.startswith("new ") and not _made_again(name, own, pair):
            said = f"Not judged: {name}: another run of the same step may make another number."
            yield Other(name, "unjudged", said)
        else:
            said = f"{name} is {_brief(first)} in {called[0]} and {_brief(second)} in {called[1]}."
            yield Other(name, "differs", said)


def _changed_by_one(name: str, own: Sequence[Record], called: tuple[str, str]) -> Iterator[Other]:
    """A number that only one of the two changes, if both have it."""
    plain = name.removeprefix("new ")
    if all(plain in record.attributes for record in own):
        side = called[0] if name in own[0].others else called[1]
        yield Other(name, "unjudged", f"Not judged: {name}: only {side} changes it.")


def same(first: Any, second: Any) -> bool | None:
    """Whether two values are equal; None if their type does not say what equal is."""
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return _same_arrays(np.asarray(first), np.asarray(second))
    if first is second:
        return True
    if any(isinstance(x, Tensor) for s in (first, second) for x in (s if _is_set(s) else ())):
        return None  # sets find tensors by identity
    by_identity: Any = object.__eq__
    identity = type(first).__eq__ is by_identity and type(second).__eq__ is by_identity
    if identity and not isinstance(first, UNIQUE) and type(first) is type(second):
        return None
    try:
        return bool(first == second) or bool(first != first and second != second)
    except Exception:  # the user's own __eq__, or that of another library
        return None


def _share_digits(first: Any, second: Any) -> bool:
    """Two numbers that rounding in float32 may have made of one."""
    floats = isinstance(first, float) and isinstance(second, float)
    return floats and math.isclose(first, second, rel_tol=2.0**-12)


def _made_again(name: str, own: Sequence[Record], pair: Sequence[Record]) -> bool:
    """Whether both models made this number a second time. Time that is measured is a float, and
    not made again; one run alone does not tell."""
    for one, other in zip(own, pair, strict=True):
        first, second = one.others[name], other.others.get(name)
        if isinstance(first, float) and (one is other or not _share_digits(first, second)):
            return False
    return True


def _is_set(value: Any) -> bool:
    return isinstance(value, set | frozenset)


def _same_arrays(first: np.ndarray, second: np.ndarray) -> bool | None:
    numbers = all(x.dtype.kind in "fc" for x in (first, second))
    try:
        return bool(np.array_equal(first, second, equal_nan=numbers))
    except Exception:  # of objects
        return None


def _brief(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
