"""Tangents carried forward through a network, with how far rounding may have moved them.

A number here is value +- sqrt(variance) +- jump. The variance adds up independent roundings of unit
roundoff u (Higham and Mary 2019: the roundings of a sum add up like a random walk, so n terms cost
sqrt(n) u sum|x|, which Cauchy and Schwarz bound by n u sqrt(sum x^2)). The jump is no rounding: it
is half the interval between the two slopes at a kink, where either is right.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

STEP = 1e-200
ROUNDOFF = float(np.finfo(np.float64).eps) / 2
# exp, log, tanh...: NumPy and torch promise less than 4 units in the last place, and 1 is 2 u
FUNCTION_ROUNDOFF = 8 * ROUNDOFF
# Four standard deviations, for each of the two computations that are compared.
DEVIATIONS = 8
KINK = 1e-6  # slopes that differ by more, within the reach of rounding, are a kink's
SMALLEST = 1e-140  # what is below it has a square, times u^2, that underflows


@dataclass(frozen=True)
class Uncertain:
    """Arrays of one shape: value, variance of its rounding, and jump."""

    value: np.ndarray
    variance: np.ndarray
    jump: np.ndarray

    @property
    def bound(self) -> np.ndarray:
        """How far two right computations may be apart."""
        return DEVIATIONS * np.sqrt(self.variance) + self.jump + SMALLEST

    def rounded(self, n: int) -> np.ndarray:
        """The variance of each number as a term in a sum of n products."""
        return self.variance + ((n + 3) * ROUNDOFF) ** 2 * self.value**2

    def times(self, weights: np.ndarray) -> "Uncertain":
        """value @ weights.T, the weights exact    # [..., in], [out, in] -> [..., out]"""
        variance = self.rounded(weights.shape[1]) @ (weights**2).T
        jump = self.jump @ np.abs(weights).T if self.jump.any() else np.zeros(variance.shape)
        return Uncertain(self.value @ weights.T, variance, jump)

    def product(self, other: "Uncertain") -> "Uncertain":
        """self @ other, both rounded              # [..., m, k], [..., k, n] -> [..., m, n]"""
        variance = self.rounded(self.value.shape[-1]) @ other.value**2
        variance = variance + self.value**2 @ other.variance
        jump = np.zeros(())
        if self.jump.any() or other.jump.any():
            jump = self.jumps @ np.abs(other.value)
            jump = jump + (np.abs(self.value) + self.jumps) @ other.jumps
        return Uncertain(self.value @ other.value, variance, jump)

    def arranged(self, arrange: Callable[[np.ndarray], np.ndarray]) -> "Uncertain":
        """The same numbers in other places, or added up there."""
        variance = np.broadcast_to(self.variance, self.value.shape)
        return Uncertain(*map(arrange, (self.value, variance, self.jumps)))

    @property
    def jumps(self) -> np.ndarray:
        """The jump of every entry."""
        return np.broadcast_to(self.jump, self.value.shape)

    def scaled(self, slopes: "Uncertain") -> "Uncertain":
        """Gradients behind an elementwise function with these slopes    # any shape"""
        size, steep = np.abs(self.value), np.abs(slopes.value)
        return Uncertain(
            self.value * slopes.value,
            self.variance * slopes.value**2 + self.value**2 * slopes.variance,
            self.jump * steep + (size + self.jump) * slopes.jump,
        )

    def plus(self, other: "Uncertain") -> "Uncertain":
        """The sum of two numbers, rounded once."""
        variance = self.variance + other.variance
        variance = variance + ROUNDOFF**2 * (self.value**2 + other.value**2)
        return Uncertain(self.value + other.value, variance, self.jump + other.jump)

    def weighed(self, weight: float) -> "Uncertain":
        """Times a number that is exact."""
        return Uncertain(weight * self.value, weight**2 * self.variance, abs(weight) * self.jump)

    def against(self, other: "Uncertain") -> "Uncertain":
        """sum_k self[s, i, k] * other[s, k]    # [m, units, n], [m, n] -> [m, units]"""
        column = Uncertain(*(a[..., None] for a in (other.value, other.variance, other.jump)))
        n = other.value.shape[1]
        jump = self.jump @ np.abs(column.value) + (np.abs(self.value) + self.jump) @ column.jump
        variance = self.rounded(n) @ column.value**2 + self.value**2 @ column.variance
        return Uncertain(*(a.squeeze(-1) for a in (self.value @ column.value, variance, jump)))


def exactly(value: np.ndarray) -> Uncertain:
    """A number that nothing has rounded."""
    return Uncertain(value, np.zeros(value.shape), np.zeros(value.shape))


Rows = Callable[[np.ndarray], np.ndarray]


def slopes_of(f: Rows, z: np.ndarray, elementwise: bool) -> np.ndarray:
    """The derivative of f by complex step: Im f(z + ih) / h, with nothing subtracted.

    f takes rows that do not know of each other. An elementwise f gives all its slopes [m, n] in one
    call; any other gets one row for each sample and input, stacked: [m, n, n], input before output,
    or [m, n] where f makes one number of a row.

    Source: Squire and Trapp 1998.
    """
    if elementwise:
        return np.asarray(np.imag(f(z + 1j * STEP)) / STEP)
    m, n = z.shape
    stacked = z[:, None] + 1j * STEP * np.eye(n)
    moved = np.imag(f(stacked.reshape(m * n, n))) / STEP
    return moved.reshape(m, n, *moved.shape[1:])


def is_elementwise(f: Rows, z: np.ndarray) -> bool:
    """Whether each output of f depends on the input in its own place alone: steps of another size
    in each place then move each output in proportion. Powers of two, so the same digits come out;
    drawn, so that no order of the places is like another."""
    everywhere = f(z + 1j * STEP)
    if everywhere.shape != z.shape:
        return False
    sizes = 2.0 ** np.random.default_rng(0).integers(0, 60, z.shape)
    moved, expected = np.imag(f(z + 1j * STEP * sizes)), np.imag(everywhere) * sizes
    return np.array_equal(moved, expected, equal_nan=True)


def is_of_rows(f: Rows, z: np.ndarray) -> bool:
    """Whether f makes a row, or a number, of each row alone. To test this, f is given the first
    row without the others, and the last row without the others: both results must be the same as
    with all rows."""
    if z.ndim != 2 or not len(z):
        return False
    made = f(z)
    if made.ndim not in (1, 2) or len(made) != len(z):
        return False
    return all(np.array_equal(f(z[at]), made[at]) for at in (slice(1), slice(-1, None)))


def uncertain_slopes(f: Rows, z: np.ndarray, variance: np.ndarray, elementwise: bool) -> Uncertain:
    """The slopes at z, whose rounding has this variance; at a kink the middle of both sides.

    Hand-written activations have their kinks at 0. One is there where the slopes on both sides of
    what rounding can reach differ by more than a smooth function's would.

    How much they depend on z is seen by moving z by one standard deviation, up or down; where a row
    is shared, its most sensitive entry speaks for all.
    """
    value = slopes_of(f, z, elementwise)
    deviation = np.sqrt(variance)
    ways = [np.ones(())] if elementwise else _up_and_down(z.shape[1])
    moved = [slopes_of(f, z + way * deviation, elementwise) - value for way in ways]
    change = np.max(np.square(moved), axis=0)
    if not elementwise:
        change = np.broadcast_to(
            change.max(axis=tuple(range(1, change.ndim)), keepdims=True), change.shape
        )
    jump = np.zeros(value.shape)
    reach = DEVIATIONS * deviation + SMALLEST
    near = np.abs(z) <= reach
    if elementwise and near.any():
        low, high = (slopes_of(f, z + side * reach, elementwise) for side in (-1, 1))
        near &= np.abs(high - low) > KINK * (np.abs(high) + np.abs(low))
        value = np.where(near, (low + high) / 2, value)
        jump = np.where(near, np.abs(high - low) / 2, 0)
        change = np.where(near, 0, change)
    return Uncertain(value, change + (FUNCTION_ROUNDOFF * (1 + np.abs(value))) ** 2, jump)


def _up_and_down(n: int) -> list[np.ndarray]:
    """Ways to move the n numbers of a row, such that any two of them move against each other in
    one: the slopes of a softmax stay where all its numbers move alike."""
    bits = max(1, (n - 1).bit_length())
    return [np.where(np.arange(n) >> bit & 1, -1.0, 1.0) for bit in range(bits)]
