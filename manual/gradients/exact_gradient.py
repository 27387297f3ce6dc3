"""The gradient of the cost from its forward pass alone: exact, and all parameters at once.

Nudging W_l[i, j] moves z_l[s, i] by h_(l-1)[s, j] and nothing else in layer l. So one tangent for
each sample and unit, not one for each weight, is carried to the loss; it gives dC/dz_l, and

    dW_l = (dC/dz_l).T @ h_(l-1),    db_l = its sum over samples.

Slopes come from a complex step of the hand-written forwards, and every number brings a bound on its
rounding (tangents.py), so a verdict needs no tolerance. Nothing here is shared with any backward
pass. It does write the forward again: complex_step_gradient (exact_check.py), the plain loop, does
not.

Source: course 2 week 1, "gradient checking" (which takes differences, and is slow); Squire and
Trapp 1998; forward mode: torch.func.jvp.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from torch_parity.manual.gradients.tangents import (
    FUNCTION_ROUNDOFF,
    ROUNDOFF,
    STEP,
    Uncertain,
    slopes_of,
    uncertain_slopes,
)
from torch_parity.manual.losses.binary_cross_entropy import SLOPE_FLOOR
from torch_parity.manual.losses.reduction import reduce
from torch_parity.manual.losses.regularization import l1_penalty, l2_penalty
from torch_parity.manual.models.mlp import LOSSES, Network
from torch_parity.manual.ops.dropout import dropout
from torch_parity.manual.ops.linear import linear

ELEMENTWISE = {"sigmoid", "tanh", "relu", "leaky_relu", "identity"} | set(LOSSES) - {
    "cross_entropy"
}
KINKED = {"relu", "leaky_relu"}
NUMBERS_AT_ONCE = 2**20  # of one array of tangents: it bounds the memory

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class ExactGradient:
    """gradients and bounds by parameter (W1, b1...): a right gradient is within the bound, entry by
    entry. jumps are the shares of the bounds that are no rounding: kinks is the number of places
    where more than one slope is right (and where BCELoss, here as in torch, holds its slope at a
    floor)."""

    gradients: dict[str, np.ndarray]
    bounds: dict[str, np.ndarray]
    jumps: dict[str, np.ndarray]
    kinks: int


def exact_gradient(
    net: Network, params: Tensors, x: np.ndarray, y: np.ndarray, masks: Tensors
) -> ExactGradient:
    """The derivative of loss + penalties for every parameter    # [m, n_in], [m...] -> as params

    masks holds the dropout masks of this very step (mask1...); {} is evaluation.

    Raises:
        ValueError: anything is not float64, there is no sample, or the masks are still to be drawn.
    """
    _require_fixed(masks)
    _require_float64({**params, "x": x, **masks})
    if not len(x):
        raise ValueError("exact_gradient: x holds no sample, so nothing would be checked")
    blocks = [_Block(net, params, x[s], y[s], _rows(masks, s)) for s in _parts(net, len(x))]
    samples = sum(b.losses for b in blocks)
    weight = float(np.imag(_reduced(net, samples)) / STEP) / samples
    gradients: dict[str, np.ndarray] = {}
    bounds: dict[str, np.ndarray] = {}
    jumps: dict[str, np.ndarray] = {}
    kinks = sum(b.kinks for b in blocks)
    for layer in range(1, net.depth + 1):
        W = params[f"W{layer}"]
        h, dz = (_joined(parts) for parts in zip(*(b.of(layer) for b in blocks), strict=True))
        penalty, zeros = _penalty(net, W)
        kinks += zeros
        dW, db = _sum(_weights(dz, h, weight), penalty), _bias(dz, weight)
        gradients |= {f"W{layer}": dW.value, f"b{layer}": db.value}
        bounds |= {f"W{layer}": dW.bound, f"b{layer}": db.bound}
        jumps |= {f"W{layer}": dW.jump, f"b{layer}": db.jump}
    return ExactGradient(gradients, bounds, jumps, kinks)


class _Block:
    """Some samples: their forward pass, the slopes of every layer, and dC/dz of every layer."""

    def __init__(
        self, net: Network, params: Tensors, x: np.ndarray, y: np.ndarray, masks: Tensors
    ) -> None:
        self.net, self.params = net, params
        self.kinks = 0
        self.h = [Uncertain(x, np.zeros(x.shape), np.zeros(()))]
        self.slopes: list[Uncertain] = []  # of h_l with respect to z_l
        for layer in range(1, net.depth):
            z = self._z(layer)
            self._activate(layer, z, masks.get(f"mask{layer}"))
        self.head, self.losses = self._head(self._z(net.depth), y)

    def of(self, layer: int) -> tuple[Uncertain, Uncertain]:
        """(h_(l-1), dC/dz_l)"""
        if layer == self.net.depth:
            return self.h[layer - 1], self.head
        n, widest = self.net.sizes[layer], max(self.net.sizes[layer:])
        step = max(1, NUMBERS_AT_ONCE // (widest * len(self.head.value)))
        parts = [self._carried(layer, slice(at, at + step)) for at in range(0, n, step)]
        return self.h[layer - 1], _joined(parts, axis=1)

    def _carried(self, layer: int, units: slice) -> Uncertain:
        """dC/dz of some units of a layer: a tangent of 1 in each, carried to the loss."""
        tangents = _first(self.slopes[layer - 1], self.params[f"W{layer + 1}"], units)
        for k in range(layer + 1, self.net.depth):
            tangents = tangents.through(self.slopes[k - 1]).times(self.params[f"W{k + 1}"])
        return tangents.against(self.head)

    def _z(self, layer: int) -> Uncertain:
        h, W, b = self.h[-1], self.params[f"W{layer}"], self.params[f"b{layer}"]
        with_bias = ((W.shape[1] + 1) * ROUNDOFF * b) ** 2
        variance = h.times(W).variance + with_bias
        return Uncertain(linear(h.value, W, b), variance, np.zeros(()))

    def _activate(self, layer: int, z: Uncertain, mask: np.ndarray | None) -> None:
        name, f = self.net.activation, self.net.activation_of(layer)[0]
        slopes = uncertain_slopes(f, z.value, z.variance, name in ELEMENTWISE, name in KINKED)
        self.kinks += int(np.count_nonzero(slopes.jump))
        a = f(z.value)
        if slopes.value.ndim == 3:
            spread = (z.variance[:, None] @ slopes.value**2)[:, 0]
        else:
            spread = z.variance * (np.abs(slopes.value) + slopes.jump) ** 2
        variance = spread + (FUNCTION_ROUNDOFF * a) ** 2
        if mask is not None:
            a, variance = dropout(a, mask), variance * mask**2
            scale = mask if slopes.value.ndim == 2 else mask[:, None]
            slopes = Uncertain(
                slopes.value * scale, slopes.variance * scale**2, slopes.jump * scale
            )
        self.h.append(Uncertain(a, variance, np.zeros(())))
        self.slopes.append(slopes)

    def _head(self, z: Uncertain, y: np.ndarray) -> tuple[Uncertain, int]:
        """The slopes of each sample's own loss with respect to z, and the number of losses.

        From z to the loss in one: the digits that 1 - a has lost do not matter where they cancel.
        For that reason logistic loss on probabilities is done in long double.
        """
        net = self.net
        activation, loss = net.activation_of(net.depth)[0], LOSSES[net.loss][0]
        elementwise = {net.output, net.loss} <= ELEMENTWISE

        def each_loss(rows: np.ndarray) -> np.ndarray:
            labels = np.repeat(y, len(rows) // len(y), axis=0)
            losses = loss(activation(rows), labels, "none")
            return losses if elementwise or losses.ndim == 1 else losses.sum(axis=1)

        on_probabilities = net.loss == "binary_cross_entropy"
        at = z.value.astype(np.longdouble) if on_probabilities else z.value
        slopes = uncertain_slopes(each_loss, at, z.variance, elementwise, net.output in KINKED)
        a = activation(z.value)
        losses = loss(a, y, "none").size
        if net.loss != "cross_entropy" and net.output not in ELEMENTWISE:
            # backward multiplies the loss's slopes by those of a row, whose sum may cancel
            each = np.abs(slopes_of(lambda a: loss(a, y, "none"), a, True) * a)
            variance = (FUNCTION_ROUNDOFF * each.sum(axis=1, keepdims=True)) ** 2
            slopes = Uncertain(slopes.value, slopes.variance + variance, slopes.jump)
        if on_probabilities:
            slopes = _on_probabilities(slopes, a, y, elementwise)
        self.kinks += int(np.count_nonzero(slopes.jump))
        parts = (slopes.value, slopes.variance, slopes.jump)
        return Uncertain(*(np.asarray(t, np.float64) for t in parts)), losses


def _on_probabilities(
    slopes: Uncertain, a: np.ndarray, y: np.ndarray, elementwise: bool
) -> Uncertain:
    """Logistic loss behind a sigmoid or a softmax, near probabilities of 0 and 1.

    There torch's backward, and so ours, holds a (1 - a) at a floor: any share of what an output
    adds to the slope, a - y at most, is right. And of 1 - a even long double keeps few digits.
    """
    held = a * (1 - a) < 2 * SLOPE_FLOOR
    share = np.where(held, np.abs(a - y), 0)
    if not elementwise:
        # what a forward says of the slope there may itself be off by as much
        jump = slopes.jump + 2 * share.sum(axis=1, keepdims=True)
        return Uncertain(slopes.value, slopes.variance, jump)
    lost = 8 * float(np.finfo(np.longdouble).eps) / np.where(held, 1, 1 - a)
    return Uncertain(
        np.where(held, (a - y) / 2, slopes.value),
        slopes.variance + (lost * np.abs(slopes.value)) ** 2,
        share / 2,
    )


def _first(slopes: Uncertain, W: np.ndarray, units: slice) -> Uncertain:
    """Tangents of 1 in z, behind its activation and the next layer    # -> [m, units, next]"""
    if slopes.value.ndim == 3:
        chosen = (slopes.value[:, units], slopes.variance[:, units], slopes.jump[:, units])
        return Uncertain(*chosen).times(W)
    column = Uncertain(*(t[:, units, None] for t in (slopes.value, slopes.variance, slopes.jump)))
    into = W.T[None, units]
    return Uncertain(column.value * into, column.rounded(1) * into**2, column.jump * np.abs(into))


def _weights(dz: Uncertain, h: Uncertain, weight: float) -> Uncertain:
    """dW = dz.T @ h, of losses that weigh as much as the reduction says."""
    variance = dz.rounded(len(h.value)).T @ h.value**2 + (dz.value**2).T @ h.variance
    jump = dz.jump.T @ np.abs(h.value)
    return Uncertain(weight * (dz.value.T @ h.value), weight**2 * variance, abs(weight) * jump)


def _bias(dz: Uncertain, weight: float) -> Uncertain:
    variance = dz.rounded(len(dz.value)).sum(axis=0)
    return Uncertain(
        weight * dz.value.sum(axis=0), weight**2 * variance, abs(weight) * dz.jump.sum(axis=0)
    )


def _sum(a: Uncertain, b: Uncertain) -> Uncertain:
    variance = a.variance + b.variance + ROUNDOFF**2 * (a.value**2 + b.value**2)
    return Uncertain(a.value + b.value, variance, a.jump + b.jump)


class _Apart(np.ndarray):
    """Weights whose sum leaves them apart: the penalty of each entry alone, all in one call."""

    def sum(self, *args: object, **kwargs: object) -> "_Apart":  # type: ignore[override]
        return self


def _penalty(net: Network, W: np.ndarray) -> tuple[Uncertain, int]:
    """The slope of the penalties by complex step, and how many weights sit on the kink of |W|."""
    apart = (W + 1j * STEP).view(_Apart)
    total = l1_penalty([apart], net.l1, net.m) + l2_penalty([apart], net.l2, net.m)
    value = np.asarray(np.imag(total)) / STEP
    at_kink = (W == 0) & (net.l1 != 0)
    jump = at_kink * abs(net.l1 / (2 * net.m))
    return Uncertain(value, (FUNCTION_ROUNDOFF * value) ** 2, jump), int(at_kink.sum())


def _reduced(net: Network, count: int) -> complex:
    """What the reduction makes of `count` losses that all move by one step."""
    return complex(reduce(np.full(count, 1j * STEP), net.reduction))


def _parts(net: Network, m: int) -> Iterator[slice]:
    """Samples do not know of one another, so they are taken a few at a time."""
    units = net.sizes[1:]
    pairs = [a * b for a, b in combinations(units, 2)]
    if "softmax" in (net.activation, net.output) or net.loss == "cross_entropy":
        pairs += [n * n for n in units]
    step = max(1, NUMBERS_AT_ONCE // max(pairs, default=units[-1]))
    return (slice(at, at + step) for at in range(0, m, step))


def _rows(masks: Tensors, samples: slice) -> dict[str, np.ndarray]:
    return {name: mask[samples] for name, mask in masks.items()}


def _joined(parts: Sequence[Uncertain], axis: int = 0) -> Uncertain:
    if len(parts) == 1:
        return parts[0]
    shapes = [p.value.shape for p in parts]
    jumps = [np.broadcast_to(p.jump, shape) for p, shape in zip(parts, shapes, strict=True)]
    return Uncertain(
        np.concatenate([p.value for p in parts], axis),
        np.concatenate([p.variance for p in parts], axis),
        np.concatenate(jumps, axis),
    )


def _require_fixed(masks: Tensors) -> None:
    for name, mask in masks.items():
        if not isinstance(mask, np.ndarray):
            raise ValueError(
                f"exact_gradient: {name} is {type(mask).__name__}, expected an array; a cost that "
                "draws new masks at each call has no derivative: draw them once, with dropout_mask"
            )


def _require_float64(arrays: Tensors) -> None:
    for name, a in arrays.items():
        if a.dtype != np.float64:
            raise ValueError(
                f"exact_gradient: {name} is {a.dtype}, expected float64; check the gradients "
                "in float64, then compare float32 with it"
            )
