"""Check a backward function of your own against the derivative of its forward."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from torch_parity.compare.gradients.analytic import analytic
from torch_parity.manual.gradients.gradient_check import (
    Contribution,
    band,
    contributions,
    numerical_gradient,
    relative_norm,
)
from torch_parity.manual.gradients.tangents import DEVIATIONS, ROUNDOFF, STEP

EPSILON = 1e-5
NOT_ANALYTIC = (
    "the forward does not accept complex numbers, so this check used two-sided differences; for "
    "the exact check, write the forward so that it only compares x.real and otherwise keeps x"
)


@dataclass(frozen=True)
class CheckedGradient:
    """method is "exact" or "two-sided"; difference is |g - n| / (|g| + |n|) over all inputs.

    worst are the entries that contribute most to it, where it did not pass.
    """

    method: str
    difference: float
    passed: bool
    verdict: str
    wrong: tuple[str, ...]
    worst: tuple[Contribution, ...]
    note: str = ""

    def __str__(self) -> str:
        entries = "".join(
            f"\n  d{w.parameter}{list(w.index)} is {w.given:.15g}, expected {w.expected:.15g}"
            for w in self.worst
        )
        note = f"\n  {self.note}" if self.note else ""
        return f"{self.verdict} ({self.method}, difference {self.difference:.1e}){entries}{note}"


def check_gradient(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: Mapping[str, np.ndarray | float],
    upstream: np.ndarray | float | None = None,
) -> CheckedGradient:
    """Compare backward(upstream, *inputs) with the exact derivative of
    sum(upstream * forward(*inputs)).

    backward gives the gradients of the inputs in their order (one array for one input). A loss,
    whose forward gives one number, leaves upstream out: backward(*inputs). In a test:

        assert (c := check_gradient(f, f_backward, {"z": z}, da)).passed, c

    Inputs may be plain floats. A forward that takes complex numbers is derived by complex step,
    entry by entry (np.var, np.std and np.linalg.norm as of real numbers). The bound of an entry is
    what its derivative changes by when every input moves by one unit in the last place, up
    or down by chance (which covers kinks, where either slope is right), and DEVIATIONS times the
    rounding of a sum of its size. Any other forward gets two-sided differences, and passes below
    1e-7.

    Raises:
        ValueError: inputs are not float64, forward is random, shapes do not fit, or upstream is
            missing.
    """
    at = {name: np.asarray(a) for name, a in inputs.items()}
    given = _given(forward, backward, at, upstream)

    def cost(moved: Mapping[str, np.ndarray]) -> np.ndarray:
        out = np.asarray(forward(*(analytic(np.asarray(a)) for a in moved.values())))
        return np.asarray(out if upstream is None else (upstream * out).sum())

    exact = _complex_step(cost, at)
    if exact is None or not _analytic(cost, at):
        expected = numerical_gradient(lambda p: float(cost(p)), at, EPSILON)
        return _two_sided(given, expected)
    bounds = _bounds(cost, at, exact)
    wrong = tuple(n for n, g in given.items() if not np.all(np.abs(g - exact[n]) <= bounds[n]))
    return CheckedGradient(
        "exact",
        relative_norm(_flat(given), _flat(exact)),
        not wrong,
        f"wrong: {', '.join(wrong)}" if wrong else "right to rounding",
        wrong,
        tuple(c for n in wrong for c in contributions(n, given[n], exact[n])),
    )


def _given(
    forward: Callable[..., np.ndarray],
    backward: Callable[..., Any],
    inputs: Mapping[str, np.ndarray],
    upstream: np.ndarray | float | None,
) -> dict[str, np.ndarray]:
    """The gradient of each input by backward, after checks of the arguments."""
    if not inputs:
        raise ValueError("check_gradient: inputs is empty, so there is nothing to check")
    for name, a in inputs.items():
        if a.dtype != np.float64:
            raise ValueError(f"check_gradient: {name} is {a.dtype}, expected float64")
    out = np.asarray(forward(*inputs.values()))
    if not np.array_equal(out, forward(*inputs.values())):
        raise ValueError(
            "check_gradient: forward gives different results for the same inputs; fix its dropout "
            "masks (or remove NaN) first"
        )
    came = None if upstream is None else np.shape(upstream)
    if came != out.shape and (came is not None or out.shape):
        raise ValueError(
            f"check_gradient: forward gives {out.shape}, upstream is {came}; give one of the same "
            "shape, none for a single number"
        )
    made = backward(*inputs.values()) if upstream is None else backward(upstream, *inputs.values())
    gradients = made if isinstance(made, tuple) else (made,)
    shapes, expected = [np.shape(g) for g in gradients], [a.shape for a in inputs.values()]
    if shapes != expected:
        raise ValueError(f"check_gradient: backward gives {shapes}, expected {expected}")
    return dict(zip(inputs, (np.asarray(g) for g in gradients), strict=True))


def _complex_step(
    cost: Callable[[Mapping[str, np.ndarray]], np.ndarray], inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray] | None:
    """The derivative by every entry; None if forward does not pass complex numbers on."""
    slopes = {}
    for name, a in inputs.items():
        moved = np.array(a, np.complex128)
        slopes[name] = np.empty(a.shape)
        for i in np.ndindex(a.shape):
            moved[i] = a[i] + 1j * STEP
            try:
                out = cost({**inputs, name: moved})
            except (TypeError, ValueError):
                return None
            if not np.iscomplexobj(out):
                return None
            slopes[name][i] = out.imag / STEP
            moved[i] = a[i]
    return slopes


def _analytic(
    cost: Callable[[Mapping[str, np.ndarray]], np.ndarray], inputs: Mapping[str, np.ndarray]
) -> bool:
    """Whether the complex step gives the derivative: a forward may accept complex numbers and lose
    the derivative, for example in abs. Then differences along a random direction disagree, at this
    point and at a point nearby; at a kink they disagree only at this point."""
    rng = np.random.default_rng(0)
    for name, a in inputs.items():
        v = np.asarray(rng.normal(size=a.shape))
        aside = a + 1e-2 * np.abs(a).max(initial=1.0) * rng.uniform(-1, 1, a.shape)
        if not any(_agrees(cost, inputs, name, at, v) for at in (a, aside)):
            return False
    return True


def _agrees(
    cost: Callable[[Mapping[str, np.ndarray]], np.ndarray],
    inputs: Mapping[str, np.ndarray],
    name: str,
    at: np.ndarray,
    v: np.ndarray,
) -> bool:
    try:
        above, below = (float(cost({**inputs, name: at + s * v})) for s in (EPSILON, -EPSILON))
        slope = float(np.imag(cost({**inputs, name: at + 1j * STEP * v}))) / STEP
    except ValueError:  # outside the domain of forward
        return False
    rounding = 1e-12 * (abs(above) + abs(below)) / EPSILON
    return abs((above - below) / (2 * EPSILON) - slope) <= 1e-3 * abs(slope) + rounding


def _bounds(
    cost: Callable[[Mapping[str, np.ndarray]], np.ndarray],
    inputs: Mapping[str, np.ndarray],
    exact: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    ways = {n: np.where(rng.random(a.shape) < 0.5, -np.inf, np.inf) for n, a in inputs.items()}
    nudged = [
        _complex_step(cost, {n: np.nextafter(a, side * ways[n]) for n, a in inputs.items()})
        for side in (1, -1)
    ]
    terms = 3 + sum(a.size for a in inputs.values())
    bounds = {}
    for n, slope in exact.items():
        change = np.max([np.abs(other[n] - slope) for other in nudged if other], axis=0)
        size = np.abs(slope) + change
        size = size + size.max(initial=0)
        bounds[n] = change + DEVIATIONS * terms**0.5 * ROUNDOFF * size
    return bounds


def _two_sided(
    given: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
) -> CheckedGradient:
    difference = relative_norm(_flat(given), _flat(expected))
    passed = difference < 1e-7
    each = {n: relative_norm(g, expected[n]) for n, g in given.items()}
    wrong = () if passed else tuple(n for n, d in each.items() if not d < 1e-7)
    worst = tuple(c for n in wrong for c in contributions(n, given[n], expected[n]))
    return CheckedGradient(
        "two-sided", difference, passed, band(difference), wrong, worst, NOT_ANALYTIC
    )


def _flat(tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([t.ravel() for t in tensors.values()])
