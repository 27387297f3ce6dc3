"""The steps that a forward in NumPy is made of. Each has the rounding of its result, and computes
the gradients of its inputs from the gradient of its result.

The slopes of functions come from a complex step (tangents.py); those of sums, of products and of
numbers that only change places come from calculus.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from itertools import chain, count
from typing import Any

import numpy as np

from torch_parity.manual.gradients.tangents import (
    FUNCTION_ROUNDOFF,
    ROUNDOFF,
    Uncertain,
    exactly,
    uncertain_slopes,
)

Back = Callable[[Uncertain], Uncertain]
ANALYTIC = ("erf", "expm1", "log", "log1p", "reciprocal", "sin", "cos", "sqrt", "tanh")


@dataclass
class Step:
    """The result of a step, with the variance of its rounding. reads holds the inputs to derive by,
    each with the function that computes its gradient. Steps are numbered in the order in which they
    run. arrived is the gradient of the result, as far as it is known."""

    value: np.ndarray
    variance: np.ndarray
    reads: Sequence[tuple["Step", Back]] = ()
    derived: bool = False
    arrived: Uncertain | None = None
    number: int = field(default_factory=count().__next__)

    @property
    def uncertain(self) -> Uncertain:
        """What it made, as a number with its rounding."""
        return Uncertain(self.value, self.variance, np.zeros(()))

    def arrive(self, share: Uncertain) -> None:
        """Add a share to the gradient of what the step made."""
        self.arrived = share if self.arrived is None else self.arrived.plus(share)


def go_back(ends: Sequence[Step]) -> None:
    """Carry the gradients of these steps back to every step before them."""
    behind, found = list(ends), {id(s): s for s in ends}
    while behind:
        for read, _ in behind.pop().reads:
            if id(read) not in found:
                found[id(read)] = read
                behind.append(read)
    for step in sorted(found.values(), key=lambda s: s.number, reverse=True):
        if step.arrived is not None:
            for read, share in step.reads:
                read.arrive(share(step.arrived))


def constant(value: Any) -> Step:
    """A number that does not depend on what is derived."""
    a = np.asarray(value)
    return Step(a, np.zeros(a.shape))


def _made(value: np.ndarray, variance: np.ndarray, ways: Sequence[tuple[Step, Back]]) -> Step:
    reads = [(step, back) for step, back in ways if step.derived]
    return Step(np.asarray(value), np.asarray(variance), reads, len(reads) > 0)


def arranged(arrange: Callable[..., Any], steps: Sequence[Step]) -> Any:
    """The same numbers in other places; arrange is given the places themselves. A list where it
    makes a list."""
    begins = np.cumsum([0, *(s.value.size for s in steps)])
    places = [
        np.arange(begin, begin + s.value.size).reshape(s.value.shape)
        for s, begin in zip(steps, begins, strict=False)
    ]
    found = arrange(*places)
    values = np.concatenate([s.value.ravel() for s in steps])
    variances = np.concatenate([s.variance.ravel() for s in steps])

    def part(at: np.ndarray) -> Step:
        ways = [
            (s, _put_back(at - begin, s.value.shape))
            for s, begin in zip(steps, begins, strict=False)
        ]
        return _made(values[at], variances[at], ways)

    return [part(at) for at in found] if isinstance(found, list) else part(found)


def _put_back(places: np.ndarray, shape: tuple[int, ...]) -> Back:
    """Each gradient added up where its number came from."""
    size = int(np.prod(shape))
    own = (places >= 0) & (places < size)
    at = places[own]
    times = int(np.bincount(at).max()) if at.size else 0

    def back(g: Uncertain) -> Uncertain:
        summed = Uncertain(g.value, g.rounded(times), g.jump) if times > 1 else g
        return summed.arranged(
            lambda a: np.bincount(at, weights=a[own], minlength=size).reshape(shape)
        )

    return back


def repeated(step: Step, shape: tuple[int, ...]) -> Step:
    """The numbers as often as broadcasting repeats them."""
    if step.value.shape == shape:
        return step
    made: Step = arranged(lambda a: np.broadcast_to(a, shape), [step])
    return made


def summed(step: Step, axis: Any, keepdims: bool) -> Step:
    """Their sum along some axes."""
    value = step.value.sum(axis=axis, keepdims=keepdims)
    terms = step.value.size // max(value.size, 1)
    kept = step.value.sum(axis=axis, keepdims=True).shape
    variance = step.uncertain.rounded(terms).sum(axis=axis, keepdims=keepdims)

    def back(g: Uncertain) -> Uncertain:
        return g.arranged(lambda a: np.broadcast_to(a.reshape(kept), step.value.shape))

    return _made(value, variance, [(step, back)])


def matmul(a: Step, b: Step) -> Step:
    """a @ b of stacks of matrices               # [..., m, k], [..., k, n] -> [..., m, n]

    Raises:
        TypeError: one of them is a vector.
    """
    if min(a.value.ndim, b.value.ndim) < 2:
        raise TypeError("numpy.matmul of a vector has no rule")
    stack = np.broadcast_shapes(a.value.shape[:-2], b.value.shape[:-2])
    a, b = (repeated(s, (*stack, *s.value.shape[-2:])) for s in (a, b))
    made = a.uncertain.product(b.uncertain)
    turned_a, turned_b = (s.uncertain.arranged(lambda x: x.mT) for s in (a, b))
    ways: list[tuple[Step, Back]] = [
        (a, lambda g: g.product(turned_b)),
        (b, lambda g: turned_a.product(g)),
    ]
    return _made(made.value, made.variance, ways)


def einsum(subscripts: str, steps: Sequence[Step]) -> Step:
    """Products of entries, added up over the letters that the result has not: "mcn,mcn->c".

    Raises:
        TypeError: the result is not named, or one operand has a letter twice.
    """
    read, _, made = subscripts.replace(" ", "").partition("->")
    operands = read.split(",")
    if "->" not in subscripts or any(len(set(o)) < len(o) for o in operands):
        raise TypeError(f"numpy.einsum of {subscripts} has no rule")
    letters = [*dict.fromkeys(chain(made, *operands))]

    def spread(a: np.ndarray, operand: str) -> np.ndarray:
        a = a.transpose([operand.index(x) for x in letters if x in operand])
        return a[tuple(slice(None) if x in operand else None for x in letters)]

    factors: list[Step] = [
        arranged(partial(spread, operand=operand), [step])
        for step, operand in zip(steps, operands, strict=True)
    ]
    product = reduce(lambda a, b: of_ufunc(np.multiply, [a, b]), factors)
    return summed(product, tuple(range(len(made), len(letters))), keepdims=False)


def of_ufunc(ufunc: np.ufunc, steps: Sequence[Step]) -> Step:
    """What a ufunc makes of one number, or of two at a time.

    Raises:
        TypeError: its slopes are not known here.
    """
    if ufunc is np.matmul:
        return matmul(*steps)
    if ufunc is np.square:
        ufunc, steps = np.multiply, [*steps, *steps]
    if len(steps) == 1:
        return _function(ufunc, *steps)
    if ufunc is np.power and not steps[1].derived and steps[1].value.ndim == 0:
        exponent = steps[1].value
        return _of_one(lambda z: z**exponent, steps[0])
    if ufunc not in TWO:
        raise TypeError(f"numpy.{ufunc.__name__} has no rule")
    shape = np.broadcast_shapes(*(s.value.shape for s in steps))
    a, b = (repeated(s, shape) for s in steps)
    value = ufunc(a.value, b.value)
    return _elementwise(value, ROUNDOFF, list(zip((a, b), TWO[ufunc](a, b, value), strict=True)))


def _function(ufunc: np.ufunc, step: Step) -> Step:
    if ufunc is np.negative:
        return _elementwise(-step.value, 0.0, [(step, exactly(-np.ones(step.value.shape)))])
    if ufunc is np.exp:  # it is its own slope, to as many digits
        value = np.exp(step.value)
        variance = value**2 * step.variance + (FUNCTION_ROUNDOFF * value) ** 2
        return _elementwise(
            value, FUNCTION_ROUNDOFF, [(step, Uncertain(value, variance, np.zeros(())))]
        )
    if ufunc.__name__ not in ANALYTIC:
        raise TypeError(f"numpy.{ufunc.__name__} has no rule")
    return _of_one(ufunc, step)


def _of_one(f: Callable[[np.ndarray], np.ndarray], step: Step) -> Step:
    slopes = uncertain_slopes(f, step.value, step.variance, elementwise=True)
    return _elementwise(f(step.value), FUNCTION_ROUNDOFF, [(step, slopes)])


def _elementwise(
    value: np.ndarray, roundoff: float, slopes: Sequence[tuple[Step, Uncertain]]
) -> Step:
    """What is infinite (the score of a key that is not seen) is so exactly."""
    variance = np.where(np.isfinite(value), (roundoff * value) ** 2, 0.0)
    for step, slope in slopes:
        variance = variance + step.variance * slope.value**2
    ways = [(step, (lambda g, slope=slope: g.scaled(slope))) for step, slope in slopes]
    return _made(value, variance, ways)


Two = Callable[[Step, Step, np.ndarray], tuple[Uncertain, Uncertain]]


def _product_slopes(a: Step, b: Step, value: np.ndarray) -> tuple[Uncertain, Uncertain]:
    return _rounded_slope(b.value, b.variance), _rounded_slope(a.value, a.variance)


def _quotient_slopes(a: Step, b: Step, value: np.ndarray) -> tuple[Uncertain, Uncertain]:
    """1 / b and -a / b^2"""
    inverse = 1 / b.value
    of_b = -value * inverse
    moved = b.variance * inverse**2  # of the relative error of b
    return (
        _rounded_slope(inverse, inverse**2 * moved),
        _rounded_slope(of_b, a.variance * inverse**4 + 4 * of_b**2 * moved),
    )


def _rounded_slope(value: np.ndarray, variance: np.ndarray) -> Uncertain:
    return Uncertain(value, variance + (3 * ROUNDOFF * value) ** 2, np.zeros(()))


def _ones(a: Step) -> Uncertain:
    return exactly(np.ones(a.value.shape))


TWO: dict[np.ufunc, Two] = {
    np.add: lambda a, b, _: (_ones(a), _ones(b)),
    np.subtract: lambda a, b, _: (_ones(a), _ones(b).weighed(-1.0)),
    np.multiply: _product_slopes,
    np.divide: _quotient_slopes,
}
