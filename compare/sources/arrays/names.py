"""Arrays of your own under the judge's names: the course's Z1, AL, cost, and its nested dicts."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

import numpy as np
import torch

from torch_parity.compare.errors import InputError, suggest
from torch_parity.compare.judge.replayed import numeric
from torch_parity.compare.sources.arrays.expected import INPUT_GRADIENT, Expected
from torch_parity.compare.sources.arrays.layout import distance
from torch_parity.compare.sources.arrays.start import Given
from torch_parity.compare.tensors import to_numpy

OF_ACTIVATION = re.compile(r"d[Aa](\d+)")


@dataclass(frozen=True)
class Named:
    """Arrays by our names; earlier says that dA2 is the gradient of A1, not of A2."""

    arrays: dict[str, np.ndarray]
    earlier: tuple[str, ...] = ()


def named(mine: Mapping[str, Any], at: Given, ignore: tuple[str, ...]) -> Named:
    """Arrays under our names.

    Raises:
        InputError: two arrays have one name, nothing is left to judge, or a pattern matches none.
    """
    flat = list(_flat(mine))
    for pattern in ignore:
        if not any(fnmatch(name, pattern) for name, _ in flat):
            raise InputError(f"ignore has {pattern!r}, which matches none of your arrays")
    theirs: dict[str, np.ndarray] = {}
    found: dict[str, np.ndarray] = {}
    for called, value in flat:
        if any(fnmatch(called, pattern) for pattern in ignore):
            continue
        array = as_array(called, value, at.case.dtype)
        theirs[called] = array
        _add(found, called, _our_name(called, array, at), array)
    known = [n for n in found if n in at.recorded.torch or n in _besides(at)]
    if not known:
        first = next((called for called, _ in flat), "")
        remedy = f"it has no {first!r}; {suggest(first, at.recorded.torch)}"
        raise InputError(
            f"none of your arrays belongs to this step: {remedy if flat else 'there are none'}"
        )
    return _with_own_layers(found, theirs, at)


def _add(found: dict[str, np.ndarray], called: str, name: str, array: np.ndarray) -> None:
    if name in found and not np.array_equal(found[name], array):
        raise InputError(f"{called} is given twice, with different numbers; give it once")
    found[name] = array


def _besides(at: Given) -> tuple[str, ...]:
    """Tensors that a step can be asked for besides its own."""
    return (INPUT_GRADIENT, Expected.of(at).probabilities or INPUT_GRADIENT)


def _flat(mine: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(name, value), with dicts flattened; optimizer state {"v": {"dW1": ...}} is called vdW1."""
    for name, value in mine.items():
        if isinstance(value, Mapping):
            yield from _flat(value, name if name in ("v", "s") else "")
        else:
            yield prefix + str(name), value


def _our_name(theirs: str, array: np.ndarray, at: Given) -> str:
    """Our name for the course's Z1, A1, AL, dZ1, cost, vdW1.

    The course overwrites A1 with the result of dropout, so where there is dropout it is our h1.
    """
    trace = at.recorded.torch
    if theirs in ("cost", "J"):
        return "cost" if "cost" in trace else "loss"
    if theirs in ("dX", "dx", "dA0", "da0", "dh0"):
        return INPUT_GRADIENT
    result = at.recorded.pair.manual.net.result
    name = theirs.replace("Yhat", "AL").replace("y_hat", "AL")
    name = re.sub(r"L$", re.sub(r"\D", "", result), name)
    if found := re.fullmatch(r"([vs])d([Wb]\d+)", name):
        return found[1] + found[2]
    if theirs not in trace and (found := re.fullmatch(r"(d?)([ZAHzah])(\d+)", name)):
        slope, letter, layer = found[1], found[2].lower(), found[3]
        if letter == "a" and not slope and _dropped(f"h{layer}", at):
            letter = "h"
        name = slope + letter + layer
    return Expected.of(at).probabilities if name == result and _applied(array, at) else name


def _dropped(name: str, at: Given) -> bool:
    """Whether dropout makes this tensor; with p=0 it is only a copy."""
    return any(n.operation == "dropout" and n.outputs == (name,) for n in at.recorded.nodes)


def _applied(array: np.ndarray, at: Given) -> bool:
    """Whether an output holds what the loss makes of the scores, and not the scores."""
    expected = Expected.of(at)
    if not expected.probabilities:
        return False
    made = expected.with_probabilities().torch
    scores, applied = made[at.recorded.pair.manual.net.result], made[expected.probabilities]
    return distance(array, applied) < distance(array, scores)


def _with_own_layers(
    found: dict[str, np.ndarray], theirs: Mapping[str, np.ndarray], at: Given
) -> Named:
    """The course's first notebook stores the gradient of A1 under dA2, beside dW2 and db2.

    All such names are shifted, or none: by their shapes, or, where these fit both ways, if all
    numbers are closer to the earlier layer's.
    """
    trace = at.recorded.torch
    layers = {n: int(m[1]) for n in theirs if (m := OF_ACTIVATION.fullmatch(n)) and int(m[1])}
    if not layers or "da1" not in trace:
        return Named(found)
    first = Expected.of(at).with_input_gradient().torch[INPUT_GRADIENT]

    def apart(name: str, layer: int) -> float:
        at_layer = first if layer == 0 else trace.get(f"da{layer}")
        return float("inf") if at_layer is None else distance(theirs[name], at_layer)

    if not all(apart(n, k - 1) < apart(n, k) for n, k in layers.items()):
        return Named(found)
    kept = {n: a for n, a in found.items() if n not in {f"da{k}" for k in layers.values()}}
    last = at.recorded.pair.manual.net.result
    if f"d{last}" in found and "dAL" in theirs:
        kept[f"d{last}"] = theirs["dAL"]
    for called, layer in layers.items():
        _add(kept, called, f"da{layer - 1}" if layer > 1 else INPUT_GRADIENT, theirs[called])
    return Named(kept, tuple(layers))


def as_array(name: str, value: Any, dtype: str) -> np.ndarray:
    """As a NumPy array in this machine's byte order; a Python number gets the dtype of the case.

    Raises:
        InputError: it does not hold real numbers.
    """
    if hasattr(value, "detach"):
        value = to_numpy(value.to_dense() if value.layout != torch.strided else value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(f"{name} is not an array: {error}") from None
    if not numeric(array):
        raise InputError(f"{name} holds {array.dtype}, expected real numbers")
    if not isinstance(value, np.ndarray | np.generic) and array.dtype != dtype:
        array = array.astype(dtype)
    return array.astype(array.dtype.newbyteorder("="), copy=False)
