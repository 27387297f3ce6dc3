"""Check a backward function of your own against the derivative of its forward."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from torch_parity.compare.gradients.own_pair import Arrays, Pair
from torch_parity.compare.gradients.two_sided import EPSILON, SHARES, by_long_steps, by_steps
from torch_parity.compare.judge.outcome import Answer
from torch_parity.manual.gradients.gradient_check import (
    Contribution,
    band,
    contributions,
    relative_norm,
)
from torch_parity.manual.gradients.tangents import DEVIATIONS, ROUNDOFF, STEP

# Beyond it not even half of the digits of an entry are right: what cancels has to be shown.
HALF = 2.0**-26
NOT_ANALYTIC = (
    "the forward does not accept complex numbers, so this check used two-sided differences; for "
    "the exact check, write the forward so that it only compares x.real and otherwise keeps x"
)
CANCELLED = (
    "large numbers cancel in these gradients, so that a difference of this size may be rounding; "
    "check them at inputs where less cancels"
)
TOO_SMALL = (
    "this check used two-sided differences, in which rounding moves these gradients as much as "
    "they differ; check them at inputs where less cancels, or by themselves, or write the forward "
    "so that it accepts complex numbers"
)
NO_STEP = (
    "the forward bends, or has no finite value, so near these inputs that no two-sided difference "
    "can be trusted, and none confirms a complex step; check it at other inputs"
)
NOT_FINITE = "the forward, or its derivative, is not finite at these inputs; check it at others"
COARSE = (
    "the forward computes in a lower precision than float64, where rounding moves two-sided "
    "differences as much as these gradients differ; check it with float64 throughout"
)


@dataclass(frozen=True)
class CheckedGradient:
    """method is "exact" or "two-sided"; difference is |g - n| / (|g| + |n|) over all inputs.

    wrong and unjudged name inputs; worst are their entries that contribute most to the difference.
    """

    method: str
    difference: float
    verdict: str
    wrong: tuple[str, ...]
    unjudged: tuple[str, ...]
    worst: tuple[Contribution, ...]
    note: str = ""

    @property
    def outcome(self) -> Answer:
        """PASS, FAIL, or UNJUDGED where a difference may be rounding or a mistake."""
        return "FAIL" if self.wrong else "UNJUDGED" if self.unjudged else "PASS"

    @property
    def passed(self) -> bool:
        """Whether it is a PASS."""
        return self.outcome == "PASS"

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
    rounding of a sum of its size, or of the largest entry's while half of its digits are right.
    Where numbers cancel that are larger than that, own_pair.py tells rounding from a mistake, or
    the input is unjudged. Any other forward gets two-sided differences, by steps that stay where it
    is defined and smooth, and passes where that of each input is below 1e-7. Where neither gives
    numbers to trust, the input is unjudged.

    Raises:
        ValueError: inputs are not float64, forward is random, shapes do not fit, or upstream is
            missing.
    """
    if not isinstance(inputs, Mapping):
        raise ValueError(
            f"check_gradient: inputs is a {type(inputs).__name__}; expected a dict by name, such "
            'as {"z": z}'
        )
    at = {name: np.asarray(a) for name, a in inputs.items()}
    pair = Pair(forward, backward, None if upstream is None else np.asarray(upstream))
    given = _given(pair, at)
    with np.errstate(all="ignore"):
        exact = pair.derivative(at)
        if exact is None or not _analytic(pair, at):
            return _two_sided(given, pair, at)
        return _exact(given, pair, at, exact)


def _exact(given: Arrays, pair: Pair, at: Arrays, exact: Arrays) -> CheckedGradient:
    off = {n: np.abs(g - exact[n]) for n, g in given.items()}
    sharp, wide = _bounds(pair, at, exact)
    over = {
        n: ~(off[n] <= wide[n]) | (off[n] > np.maximum(sharp[n], HALF * np.abs(exact[n])))
        for n in given
    }
    unknown = {n: ~np.isfinite(exact[n]) & np.isfinite(g) for n, g in given.items()}
    wrong, unjudged = pair.explain(at, off, {n: where & ~unknown[n] for n, where in over.items()})
    nowhere = tuple(n for n, where in unknown.items() if where.any() and n not in wrong)
    unjudged = tuple(n for n in given if n in (*unjudged, *nowhere))
    verdict = "right to rounding"
    if wrong or unjudged:
        verdict = f"wrong: {', '.join(wrong)}" if wrong else f"unjudged: {', '.join(unjudged)}"
    return CheckedGradient(
        "exact",
        relative_norm(_flat(given), _flat(exact)),
        verdict,
        wrong,
        unjudged,
        tuple(c for n in (*wrong, *unjudged) for c in contributions(n, given[n], exact[n])),
        NOT_FINITE if nowhere else CANCELLED if unjudged else "",
    )


def _given(pair: Pair, inputs: Arrays) -> Arrays:
    """The gradient of each input by backward, after checks of the arguments."""
    forward, upstream = pair.forward, pair.upstream
    if not inputs:
        raise ValueError("check_gradient: inputs is empty, so there is nothing to check")
    for name, a in inputs.items():
        if a.dtype != np.float64:
            raise ValueError(f"check_gradient: {name} is {a.dtype}, expected float64")
    out, again = (np.array(forward(*(a.copy() for a in inputs.values()))) for _ in range(2))
    if not np.array_equal(out, again):
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
    gradients = pair.gradients(inputs)
    shapes, expected = [np.shape(g) for g in gradients], [a.shape for a in inputs.values()]
    if shapes != expected:
        raise ValueError(f"check_gradient: backward gives {shapes}, expected {expected}")
    return dict(zip(inputs, gradients, strict=True))


def _analytic(pair: Pair, inputs: Arrays) -> bool:
    """Whether the complex step gives the derivative: a forward may accept complex numbers and lose
    the derivative, for example in abs. Then differences along a random direction disagree, at this
    point and at a point nearby, and by steps of any size; at a kink they disagree only at this
    point, and where the forward bends only by long steps."""
    rng = np.random.default_rng(0)
    for name, a in inputs.items():
        v = np.asarray(rng.normal(size=a.shape))
        aside = a + 1e-2 * np.abs(a).max(initial=1.0) * rng.uniform(-1, 1, a.shape)
        if any(_agrees(pair, inputs, name, at, v, EPSILON) for at in (a, aside)):
            continue
        along = v * np.where(a == 0, np.abs(a).max(initial=0), np.abs(a))
        if not any(_agrees(pair, inputs, name, a, along, share, 1e-3) for share in SHARES):
            return False
    return True


def _agrees(
    pair: Pair,
    inputs: Arrays,
    name: str,
    at: np.ndarray,
    v: np.ndarray,
    epsilon: float,
    most: float | None = None,
) -> bool:
    """Of every number that forward makes: where upstream adds them up, they may cancel. most is how
    much of the slope rounding may be: where it is all, any two agree."""
    try:
        above, below = (pair.made({**inputs, name: at + s * v}) for s in (epsilon, -epsilon))
        slope = np.imag(pair.made({**inputs, name: at + 1j * STEP * v})) / STEP
    except ValueError:  # outside the domain of forward
        return False
    off = np.linalg.norm((above - below) / (2 * epsilon) - slope)
    rounding = 1e-12 * (np.linalg.norm(above) + np.linalg.norm(below)) / epsilon
    size = np.linalg.norm(slope)
    enough = most is None or rounding <= most * size
    return bool(off <= 1e-3 * size + rounding and enough)


def _bounds(pair: Pair, inputs: Arrays, exact: Arrays) -> tuple[Arrays, Arrays]:
    """For sums of an entry's own size, and for sums of the size of the largest entry."""
    rng = np.random.default_rng(0)
    ways = {n: np.where(rng.random(a.shape) < 0.5, -np.inf, np.inf) for n, a in inputs.items()}
    nudged = [
        pair.derivative({n: np.nextafter(a, side * ways[n]) for n, a in inputs.items()})
        for side in (1, -1)
    ]
    rounding = DEVIATIONS * (3 + sum(a.size for a in inputs.values())) ** 0.5 * ROUNDOFF
    sharp, wide = {}, {}
    for n, slope in exact.items():
        change = np.max([np.abs(other[n] - slope) for other in nudged if other], axis=0)
        size = np.abs(slope) + change
        sharp[n] = change + rounding * size
        wide[n] = change + rounding * (size + size.max(initial=0))
    return sharp, wide


def _two_sided(given: Arrays, pair: Pair, inputs: Arrays) -> CheckedGradient:
    """Each input by itself: a wrong gradient is small beside a much larger one. A difference that
    is no larger than the rounding of two costs may make it is unjudged, and so is one of which no
    step gives a number that a shorter step confirms; in a lower precision the step is longer, and
    what twice the step changes counts as well."""
    coarse = (u := pair.roundoff(inputs)) > ROUNDOFF
    if coarse:
        expected, noise = by_long_steps(pair, inputs, float(np.cbrt(u)))
    else:
        expected, noise = by_steps(pair, inputs)
    known = {n: np.isfinite(noise[n]) for n in given}
    seen = {
        n: np.where(known[n], expected[n], np.where(np.isfinite(g), g, np.nan))
        for n, g in given.items()
    }
    difference = relative_norm(_flat(given), _flat(seen))
    each = {n: relative_norm(g, seen[n]) for n, g in given.items()}
    over = tuple(n for n, d in each.items() if not d < 1e-7)
    rounded = [n for n in over if np.all(np.abs(given[n] - seen[n]) <= noise[n])]
    wrong = tuple(n for n in over if n not in rounded)
    unknown = [n for n in given if n not in wrong and not known[n].all()]
    unjudged = tuple(n for n in given if n in (*rounded, *unknown))
    worst = tuple(c for n in over for c in contributions(n, given[n], seen[n]))
    verdict = f"unjudged: {', '.join(unjudged)}"
    if wrong or not unjudged:
        verdict = band(float(np.max([*each.values()])))
    note = COARSE if coarse else NO_STEP if unknown else TOO_SMALL
    return CheckedGradient(
        "two-sided",
        difference,
        verdict,
        wrong,
        unjudged,
        worst,
        note if unjudged else NOT_ANALYTIC,
    )


def _flat(tensors: Arrays) -> np.ndarray:
    return np.concatenate([t.ravel() for t in tensors.values()])
