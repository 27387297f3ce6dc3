"""What nested values hold, by name, and the same value with other tensors in it."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# Never taken apart. Sets have no order; modules and functions are no data.
WHOLE = (
    Tensor, np.ndarray, np.generic, bool, int, float, complex, str, bytes, bytearray, type(None),
    memoryview, range, set, frozenset, type, Enum, nn.Module, torch.dtype, torch.device,
)  # fmt: skip
Parts = Iterable[tuple[Any, Any]]


def leaves_of(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every tensor, array, number, string and so on in nested sequences, mappings, dataclasses and
    other objects with attributes: name, name.0, name.key..."""
    yield from _leaves(name, value, ())


def _leaves(name: str, value: Any, around: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    parts = None if any(value is outer for outer in around) else _parts(value)
    if parts is None:
        yield name, value
        return
    for key, item in parts:
        yield from _leaves(f"{name}.{key}", item, (*around, value))


def _parts(value: Any) -> Parts | None:
    """What it is made of, by key; None if it is a leaf."""
    if isinstance(value, WHOLE):
        return None
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, Sequence):
        return enumerate(value)
    if is_dataclass(value):
        return [(f.name, getattr(value, f.name)) for f in fields(value) if hasattr(value, f.name)]
    return None if callable(value) else _attributes(value) or None


def _attributes(value: Any) -> list[tuple[str, Any]]:
    slots = [s for cls in type(value).__mro__ for s in _listed(getattr(cls, "__slots__", ()))]
    of_slots = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    return list((of_slots | getattr(value, "__dict__", {})).items())


def _listed(names: Any) -> Iterable[str]:
    names = (names,) if isinstance(names, str) else names
    return [n for n in names if not n.startswith("__")]


def with_tensors(value: Any, change: Callable[[Any], Any]) -> Any:
    """A copy of a nested value with change(x) in the place of each tensor and array x; a value that
    cannot be copied as it is."""
    leaves = [leaf for _, leaf in leaves_of("", value)]
    changed = {id(x): change(x) if isinstance(x, Tensor | np.ndarray) else x for x in leaves}
    try:
        return copy.deepcopy(value, changed)
    except Exception:  # an object of the user's that refuses to be copied
        return value
