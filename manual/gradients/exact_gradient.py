"""The gradient of the cost from its forward pass alone: exact, all parameters at once, any model.

The samples' own losses are followed back from the recorded forward (block_gradient.py), a block of
samples at a time; here they are reduced, and the penalties added. No hand-written backward has a
part in it. Every number brings a bound on its rounding (tangents.py), so a verdict needs no
tolerance. complex_step_gradient (exact_check.py), the plain loop, repeats some entries without the
chain rule.

Source: course 2 week 1, "gradient checking" (which takes differences, and is slow); Squire and
Trapp 1998.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from torch_parity.manual.gradients.block_gradient import BlockGradient, Tensors
from torch_parity.manual.gradients.tangents import (
    FUNCTION_ROUNDOFF,
    STEP,
    Uncertain,
    exactly,
)
from torch_parity.manual.losses.reduction import reduce
from torch_parity.manual.losses.regularization import l1_penalty, l2_penalty
from torch_parity.manual.models.step import Model, weights_of

NUMBERS_AT_ONCE = 2**20  # of one array of slopes: it bounds the memory


@dataclass(frozen=True)
class ExactGradient:
    """gradients and bounds by parameter (W1, b1...): a right gradient is within the bound, entry by
    entry. jumps are the shares of the bounds that are not rounding: kinks is the number of places
    where more than one slope is right (and where BCELoss, here as in torch, holds its slope at a
    floor)."""

    gradients: dict[str, np.ndarray]
    bounds: dict[str, np.ndarray]
    jumps: dict[str, np.ndarray]
    kinks: int


def exact_gradient(
    net: Model, params: Tensors, x: np.ndarray, y: np.ndarray, masks: Tensors
) -> ExactGradient:
    """The derivative of loss + penalties for every parameter    # [m, n_in], [m...] -> as params

    masks holds the dropout masks of this very step (mask1...); {} is evaluation.

    Raises:
        ValueError: anything is not float64, there is no sample, the masks are still to be drawn, or
            the model has an operation that cannot be followed (followed.py).
    """
    _require_fixed(masks)
    _require_float64({**params, "x": x, **masks})
    if not len(x):
        raise ValueError("exact_gradient: x holds no sample, so nothing would be checked")
    blocks = [BlockGradient(net, params, x[s], y[s], _rows(masks, s)) for s in _parts(net, len(x))]
    if len(blocks) > 1 and any(b.followed for b in blocks):
        # what is followed may mix samples, as batch norm does
        blocks = [BlockGradient(net, params, x, y, masks)]
    samples = sum(b.losses for b in blocks)
    weight = float(np.imag(_reduced(net, samples, len(x))) / STEP) / samples
    kinks = sum(b.kinks for b in blocks)
    penalised = weights_of(net)
    found = {}
    for name in net.shapes():
        p = params[name]
        parts = [b.gradients[name] for b in blocks if name in b.gradients]
        total = _sum_of(parts).weighed(weight) if parts else exactly(np.zeros(p.shape))
        if name in penalised:
            penalty, zeros = _penalty(net, p)
            kinks, total = kinks + zeros, total.plus(penalty)
        found[name] = total
    return ExactGradient(
        {name: g.value for name, g in found.items()},
        {name: g.bound for name, g in found.items()},
        {name: g.jump for name, g in found.items()},
        kinks,
    )


def _sum_of(parts: list[Uncertain]) -> Uncertain:
    total = parts[0]
    for part in parts[1:]:
        total = total.plus(part)
    return total


class _Apart(np.ndarray):
    """Weights whose sum leaves them apart: the penalty of each entry alone, all in one call."""

    def sum(self, *args: object, **kwargs: object) -> "_Apart":  # type: ignore[override]
        return self


def _penalty(net: Model, W: np.ndarray) -> tuple[Uncertain, int]:
    """The slope of the penalties by complex step, and how many weights sit on the kink of |W|."""
    apart = (W + 1j * STEP).view(_Apart)
    total = l1_penalty([apart], net.l1, net.m) + l2_penalty([apart], net.l2, net.m)
    value = np.asarray(np.imag(total)) / STEP
    at_kink = (W == 0) & (net.l1 != 0)
    jump = at_kink * abs(net.l1 / (2 * net.m))
    return Uncertain(value, (FUNCTION_ROUNDOFF * value) ** 2, jump), len(np.flatnonzero(at_kink))


def _reduced(net: Model, count: int, samples: int) -> complex:
    """What the reduction makes of `count` losses of so many samples that all move by one step."""
    return complex(reduce(np.full((samples, count // samples), 1j * STEP), net.reduction))


def _parts(net: Model, m: int) -> Iterator[slice]:
    """A few samples at a time; each row of a softmax has as many slopes as a square. A sample alone
    does not show whether samples are mixed, so two at least."""
    step = max(2, NUMBERS_AT_ONCE // max(n * n for n in _rowwise(net)))
    return (slice(at, at + step) for at in range(0, m, step))


def _rowwise(net: Model) -> tuple[int, ...]:
    """The widths of the layers whose activation reads whole rows, or may: the last one's may."""
    return net.sizes[1:] if "softmax" in getattr(net, "activation", "") else net.sizes[-1:]


def _rows(masks: Tensors, samples: slice) -> dict[str, np.ndarray]:
    return {name: mask[samples] for name, mask in masks.items()}


def _require_fixed(masks: Tensors) -> None:
    for name, mask in masks.items():
        if not isinstance(mask, np.ndarray):
            raise ValueError(
                f"exact_gradient: {name} is {type(mask).__name__}, expected an array; a cost that "
                "draws new masks at each call has no derivative: draw them once, with dropout_mask"
            )


def _require_float64(arrays: Tensors) -> None:
    for name, a in arrays.items():
        if a.dtype != np.float64 and not (
            name == "x" and np.issubdtype(a.dtype, np.integer)  # symbols
        ):
            raise ValueError(
                f"exact_gradient: {name} is {a.dtype}, expected float64; check the gradients "
                "in float64, then compare float32 with it"
            )
