"""Whether a bound says anything at all about a tensor.

A sum that cancels is nothing but rounding, and right: the bias of a layer before batch norm has the
gradient 0. Its bound is above all its entries, yet it says much, because with inputs that do not
cancel the operation would give far more. But where an operation loses all its digits on the way and
then divides by what is left (a norm of float32 inputs around a million), the bound is above
whatever it can give, and any number would pass.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.precision import precision
from torch_parity.compare.flow.functions import apply
from torch_parity.compare.flow.nodes import Node

DECADES = 8  # how far the sizes of the other inputs spread: some do not saturate, none cancel
DRAWS = 3
UNDERFLOW = 2.0**20  # times the smallest normal number: what is below is 0 that was rounded
ALGEBRA = 64.0  # units of the higher precision's rounding: what is below is 0 by algebra


Table = Mapping[str, Callable[..., Any]]


def says_nothing(
    node: Node, i: int, table: Table, inputs: Sequence[Any], expected: Bounded
) -> bool:
    """Whether zeros would pass as output i, and the bound is no smaller than what the operation
    gives of inputs that are each smaller by a random factor."""
    error, kept = expected.error, precision(expected.judged)
    if not (error >= np.abs(expected.value)).all() or error.max(initial=0) <= UNDERFLOW * kept.tiny:
        return False
    rng = np.random.default_rng(0)
    others = max(_size_of_another(node, i, table, inputs, rng) for _ in range(DRAWS))
    rounding = ALGEBRA * float(np.finfo(expected.value.dtype).eps) / kept.eps
    bound = _size(error)
    return rounding * bound < others <= bound


def _size_of_another(
    node: Node, i: int, table: Table, inputs: Sequence[Any], rng: np.random.Generator
) -> float:
    """The size of the output with other inputs; infinite where it has none."""
    others = [
        x.value * (10.0 ** rng.uniform(-DECADES, 0, x.shape)).astype(x.value.dtype)
        if isinstance(x, Bounded)
        else x
        for x in inputs
    ]
    try:
        with np.errstate(all="ignore"):
            made = apply(node, table, others)[i]
    except (ValueError, IndexError, TypeError, ArithmeticError, NotImplementedError):
        return np.inf
    size = _size(np.asarray(made))
    return size if np.isfinite(size) else np.inf


def _size(array: np.ndarray) -> float:
    """The root of the mean square."""
    greatest = float(np.abs(array).max(initial=0))
    if not greatest or not np.isfinite(greatest):
        return greatest
    return greatest * float(np.sqrt(np.mean((array / greatest).astype(np.float64) ** 2)))
