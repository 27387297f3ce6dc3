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

    def through(self, slopes: "Uncertain") -> "Uncertain":
        """Tangents [m, units, n] behind a function with these slopes: [m, n], or [m, n, n]."""
        into: Callable[..., np.ndarray]
        if slopes.value.ndim == 3:
            into = np.matmul
            variance = self.rounded(slopes.value.shape[1])
        else:
            into, variance = _scale, self.variance
        size = np.abs(self.value)
        jump = np.zeros(())
        if self.jump.any() or slopes.jump.any():
            jump = into(self.jump, np.abs(slopes.value)) + into(size + self.jump, slopes.jump)
        return Uncertain(
            into(self.value, slopes.value),
            into(variance, slopes.value**2) + into(self.value**2, slopes.variance),
            np.broadcast_to(jump, self.value.shape),
        )

    def against(self, other: "Uncertain") -> "Uncertain":
        """sum_k self[s, i, k] * other[s, k]    # [m, units, n], [m, n] -> [m, units]"""
        column = Uncertain(*(a[..., None] for a in (other.value, other.variance, other.jump)))
        n = other.value.shape[1]
        jump = self.jump @ np.abs(column.value) + (np.abs(self.value) + self.jump) @ column.jump
        variance = self.rounded(n) @ column.value**2 + self.value**2 @ column.variance
        return Uncertain(*(a[..., 0] for a in (self.value @ column.value, variance, jump)))


def _scale(tangents: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    return tangents * slopes[:, None]


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
    return np.asarray(moved.reshape(m, n, *moved.shape[1:]))


def uncertain_slopes(
    f: Rows, z: np.ndarray, variance: np.ndarray, elementwise: bool, kinked: bool
) -> Uncertain:
    """The slopes at z, whose rounding has this variance; at a kink the middle of both sides.

    How much they depend on z is seen by moving z by one standard deviation, up and down by chance;
    where a row is shared, its most sensitive entry speaks for all.
    """
    value = slopes_of(f, z, elementwise)
    deviation = np.sqrt(variance)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], z.shape)
    change = (slopes_of(f, z + signs * deviation, elementwise) - value) ** 2
    if not elementwise:
        change = np.broadcast_to(
            change.max(axis=tuple(range(1, change.ndim)), keepdims=True), change.shape
        )
    jump = np.zeros(value.shape)
    if kinked:
        reach = DEVIATIONS * deviation + SMALLEST
        low, high = (slopes_of(f, z + side * reach, elementwise) for side in (-1, 1))
        near = np.abs(z) <= reach
        value = np.where(near, (low + high) / 2, value)
        jump = np.where(near, np.abs(high - low) / 2, 0)
        change = np.where(near, 0, change)
    return Uncertain(value, change + (FUNCTION_ROUNDOFF * (1 + np.abs(value))) ** 2, jump)
