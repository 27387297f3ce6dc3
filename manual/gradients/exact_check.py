"""Is the backward pass right to the last digits? The exact gradient says so, entry by entry.

There is no band to read off: each entry has a bound that is derived from the arithmetic
(tangents.py), some 1e-15 of it where nothing cancels. Right is within, wrong is over.

Source: course 2 week 1, "gradient checking", whose formula and advice are kept.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from torch_parity.manual.gradients.block_gradient import Tensors
from torch_parity.manual.gradients.exact_gradient import ExactGradient, exact_gradient
from torch_parity.manual.gradients.gradient_check import (
    Contribution,
    contributions,
    gradients_of,
    relative_norm,
)
from torch_parity.manual.gradients.tangents import STEP
from torch_parity.manual.models import step
from torch_parity.manual.models.step import Model

LOOPED = 8  # entries that the plain loop looks at besides

Entry = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class CheckedParameter:
    """difference = |g - n| / (|g| + |n|); use is the greatest share of its bound that an entry took
    up, wrong how many of its entries are over, by_kink how many are within only because more than
    one slope is right somewhere; worst are the entries that contribute most."""

    name: str
    difference: float
    use: float
    entries: int
    wrong: int
    by_kink: int
    worst: tuple[Contribution, ...]


@dataclass(frozen=True)
class ExactCheck:
    """Every parameter held to the exact gradient.

    difference is over all parameters at once; kinks counts the places where either of two slopes is
    right; looped entries were also derived by the plain loop, which took up at most loop_use of the
    bound: over 1, the fast scheme and the loop disagree, and nothing is proved.
    """

    difference: float
    parameters: tuple[CheckedParameter, ...]
    kinks: int
    looped: int
    loop_use: float

    @property
    def entries(self) -> int:
        """How many numbers were checked."""
        return sum(p.entries for p in self.parameters)

    @property
    def wrong(self) -> tuple[str, ...]:
        """The parameters with an entry over its bound."""
        return tuple(p.name for p in self.parameters if p.wrong)

    @property
    def passed(self) -> bool:
        """True only if something was checked and all of it is right."""
        return self.entries > 0 and not self.wrong and self.loop_use <= 1

    @property
    def verdict(self) -> str:
        """In words."""
        if not self.loop_use <= 1:
            return "the fast scheme and the plain loop disagree"
        if self.wrong:
            return f"wrong: {', '.join(self.wrong)}"
        return (
            "right but for kinks"
            if any(p.by_kink for p in self.parameters)
            else "right to rounding"
        )


def exact_check(
    net: Model,
    params: Tensors,
    x: np.ndarray,
    y: np.ndarray,
    masks: Tensors,
    gradients: Tensors,
) -> ExactCheck:
    """Hold the gradients (dW1, db1... for parameters W1, b1...) to the exact ones.

    Raises:
        ValueError: as exact_gradient; or a gradient is missing or has another shape.
    """
    return hold(exact_gradient(net, params, x, y, masks), net, params, x, y, masks, gradients)


def hold(
    exact: ExactGradient,
    net: Model,
    params: Tensors,
    x: np.ndarray,
    y: np.ndarray,
    masks: Tensors,
    gradients: Tensors,
) -> ExactCheck:
    """exact_check for an exact gradient that is there already, for a second side's gradients.

    Raises:
        ValueError: a gradient is missing or has another shape.
    """
    trained = {name: params[name] for name in net.shapes()}
    given = gradients_of(trained, gradients, net.names.gradient)
    entries = _sample(trained)
    # logistic loss on probabilities loses the digits of 1 - a, here as in exact_gradient
    precision = np.clongdouble if net.loss == "binary_cross_entropy" else np.complex128

    def cost(p: Tensors) -> complex:
        t = net.forward(p, x, masks)
        return complex(list(step.cost(net, p, t[net.result], y).values())[-1])

    looped = complex_step_gradient(cost, params, entries, precision)
    # at a floor of BCELoss the loop's own digits are gone as well: twice the jump more
    at = [
        (exact.gradients[name][i], exact.bounds[name][i] + 2 * exact.jumps[name][i])
        for name, i in entries
    ]
    values, bounds = np.array(at).T
    return ExactCheck(
        difference=relative_norm(_flat(given), _flat(exact.gradients)),
        parameters=tuple(_checked(name, g, exact) for name, g in given.items()),
        kinks=exact.kinks,
        looped=len(entries),
        loop_use=float(_use(looped, values, bounds).max()),
    )


def complex_step_gradient(
    cost: Callable[[Mapping[str, np.ndarray]], complex],
    params: Tensors,
    entries: Iterable[Entry],
    precision: type[np.complexfloating] = np.complex128,
) -> np.ndarray:
    """Im cost(p + ih) / h, one entry after another: the plain loop, one forward pass an entry.

    entries are (parameter, index). The cost must take complex parameters. params is not changed.

    Source: Squire and Trapp 1998.
    """
    moved = {name: p.astype(precision) for name, p in params.items()}
    slopes = []
    for name, index in entries:
        at = moved[name][index]
        moved[name][index] = at + 1j * STEP
        slopes.append(cost(moved).imag / STEP)
        moved[name][index] = at
    return np.array(slopes)


def _sample(params: Tensors) -> list[Entry]:
    """Some entries of all parameters, the same at each call."""
    rng = np.random.default_rng(0)
    chosen = []
    for name in rng.choice(list(params), LOOPED):
        index = np.unravel_index(rng.integers(params[name].size), params[name].shape)
        chosen.append((str(name), tuple(int(i) for i in index)))
    return chosen


def _checked(name: str, given: np.ndarray, exact: ExactGradient) -> CheckedParameter:
    value, bound = exact.gradients[name], exact.bounds[name]
    use = _use(given, value, bound)
    over_rounding = np.abs(given - value) > bound - exact.jumps[name]
    return CheckedParameter(
        name,
        relative_norm(given, value),
        float(use.max()),
        given.size,
        int(np.count_nonzero(~(use <= 1))),
        int(np.count_nonzero(over_rounding & (use <= 1))),
        contributions(name, given, value),
    )


def _use(given: np.ndarray, value: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """The share of the bound; what is not finite, or has no finite bound, is over it."""
    with np.errstate(invalid="ignore"):
        use = np.abs(given - value) / bound
    return np.where(np.isfinite(use) & np.isfinite(bound), use, np.inf)


def _flat(tensors: Tensors) -> np.ndarray:
    return np.concatenate([t.ravel() for t in tensors.values()])
