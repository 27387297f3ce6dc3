"""Two-sided differences of a user's cost, and how far they may be off."""

import numpy as np

from torch_parity.compare.gradients.own_pair import Arrays, Pair
from torch_parity.manual.gradients.gradient_check import numerical_gradient

EPSILON = 1e-5
# Where a step of EPSILON leaves the domain of the forward, or passes over its bends: of an entry.
SHARES = (1e-5, 1e-7, 1e-9)


def by_long_steps(pair: Pair, inputs: Arrays, step: float) -> tuple[Arrays, Arrays]:
    """The differences, and how far rounding and the length of the step may move them."""
    expected, twice = (
        numerical_gradient(lambda p: float(pair.cost(p)), inputs, s) for s in (step, 2 * step)
    )
    rounding = pair.rounding(inputs) / step
    return expected, {n: rounding + np.abs(expected[n] - twice[n]) for n in inputs}


def by_steps(pair: Pair, inputs: Arrays) -> tuple[Arrays, Arrays]:
    """The differences, and how far rounding may move them: for each entry by the first step whose
    half gives the same number; an infinite noise where no step does."""
    rounding = pair.rounding(inputs)
    expected = {n: np.full(a.shape, np.nan) for n, a in inputs.items()}
    noise = {n: np.full(a.shape, np.inf) for n, a in inputs.items()}
    steps = [{n: np.full(a.shape, EPSILON) for n, a in inputs.items()}]
    steps += [{n: share * np.abs(a) for n, a in inputs.items()} for share in SHARES]
    for each in steps:
        for name in inputs:
            for i in map(tuple, np.argwhere(np.isinf(noise[name]) & (each[name] > 0))):
                whole, half = (_slope(pair, inputs, name, i, each[name][i] * s) for s in (1, 0.5))
                moved = rounding / each[name][i]
                if abs(whole - half) <= 1e-3 * abs(whole) + 3 * moved:
                    expected[name][i], noise[name][i] = whole, moved
    return expected, noise


def _slope(pair: Pair, inputs: Arrays, name: str, index: tuple[int, ...], step: float) -> float:
    """The two-sided difference of the cost in one entry; nan outside the domain of forward."""
    costs = []
    for side in (step, -step):
        moved = inputs[name].copy()
        moved[index] += side
        try:
            costs.append(float(pair.cost({**inputs, name: moved})))
        except (ValueError, ArithmeticError):
            return np.nan
    return (costs[0] - costs[1]) / (2 * step)
