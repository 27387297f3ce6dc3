"""Whether a bound says anything at all about a tensor.

A sum that cancels is nothing but rounding, and right: the bias of a layer before batch norm has the
gradient 0. Its bound is above all its entries, yet it says much, because with inputs that do not
cancel the operation would give far more. But where an operation loses all its digits on the way and
then divides by what is left (a norm of float32 inputs around a million), the bound is above
whatever it can give, and any number would pass.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.precision import precision
from torch_parity.compare.flow.functions import apply
from torch_parity.compare.flow.nodes import Node

DECADES = 8  # how far the sizes of the other inputs spread: some do not saturate, none cancel
DRAWS, SIGNS = 2, ((1.0,), (-1.0, 1.0))  # logarithms and roots take positive numbers alone
UNDERFLOW = 2.0**20  # times the smallest normal number: what is below is 0 that was rounded
ALGEBRA = 64.0  # units of the higher precision's rounding: what is below is 0 by algebra


Table = Mapping[str, Callable[..., Any]]


def says_nothing(
    node: Node, i: int, table: Table, inputs: Sequence[Any], expected: Bounded
) -> bool:
    """Whether zeros would pass as output i, and the bound is no smaller than what the operation
    gives of other inputs: of smaller entries, or, but for its rounding, of one smaller input."""
    error, kept = expected.error, precision(expected.judged)
    if not expected.ndim:  # a loss: in half precision its sum alone may round as much
        return False
    if not (error >= np.abs(expected.value)).all() or error.max(initial=0) <= UNDERFLOW * kept.tiny:
        return False
    bound = _size(error)
    rounding = ALGEBRA * float(np.finfo(expected.value.dtype).eps) / kept.eps
    others = _greatest(node, i, table, _smaller_entries(inputs))
    if not rounding * bound < others <= bound:
        return False
    negligible = precision(kept.inner).eps ** (2 / 3)
    return bound > negligible * _greatest(node, i, table, _smaller_inputs(inputs))


def _smaller_entries(inputs: Sequence[Any]) -> Iterator[list[Any]]:
    """Each entry smaller by a factor of its own: no sum cancels."""
    rng = np.random.default_rng(0)
    for signs in SIGNS:
        for _ in range(DRAWS):
            yield [
                x.value * _factors(x, signs, rng) if isinstance(x, Bounded) else x for x in inputs
            ]


def _factors(x: Bounded, signs: tuple[float, ...], rng: np.random.Generator) -> np.ndarray:
    factors = rng.choice(signs, x.shape) * 10.0 ** rng.uniform(-DECADES, 0, x.shape)
    return np.asarray(factors.astype(x.value.dtype))


def _smaller_inputs(inputs: Sequence[Any]) -> Iterator[list[Any]]:
    """One input smaller as a whole: nothing saturates."""
    plain = [x.value if isinstance(x, Bounded) else x for x in inputs]
    for at, x in enumerate(inputs):
        if isinstance(x, Bounded):
            for decades in range(2, DECADES + 1, 2):
                yield [*plain[:at], x.value * 10.0**-decades, *plain[at + 1 :]]


def _greatest(node: Node, i: int, table: Table, trials: Iterable[Sequence[Any]]) -> float:
    """The greatest size of the output over these inputs; infinite where none gives numbers."""
    sizes = []
    for inputs in trials:
        try:
            with np.errstate(all="ignore"):
                sizes.append(_size(np.asarray(apply(node, table, inputs)[i])))
        except (ValueError, IndexError, TypeError, ArithmeticError, NotImplementedError):
            return np.inf
    return max(filter(np.isfinite, sizes), default=np.inf)


def _size(array: np.ndarray) -> float:
    """The root of the mean square."""
    greatest = float(np.abs(array).max(initial=0))
    if not greatest or not np.isfinite(greatest):
        return greatest
    return greatest * float(np.sqrt(np.mean((array / greatest).astype(np.float64) ** 2)))
