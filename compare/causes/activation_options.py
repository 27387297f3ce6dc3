"""Mistakes in an activation's options: a slope, an alpha, an axis."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from torch_parity.compare.causes.cause import (
    Cause,
    Effect,
    Evidence,
    on,
    one,
)
from torch_parity.compare.causes.factor import Factor, common_factor
from torch_parity.compare.causes.remedies import of_activation
from torch_parity.compare.flow.nodes import Node


def _leaky(node: Node, e: Evidence) -> Iterable[Node]:
    """The slope is what a (or dz) is to z (or da) where z < 0."""

    def estimate() -> Factor | None:
        of, z = (e.known.get(n) for n in (node.inputs[0], node.inputs[-1]))
        made = e.trace.get(node.outputs[0])
        if of is None or z is None or made is None or made.shape != z.shape:
            return None
        at = (z < 0) & (of != 0)
        error = e.eps * np.abs(made)
        return common_factor(made, 0.0, np.where(at, of, 0), error)

    slopes = e.number("slope", estimate, lambda rng: float(rng.uniform(0.05, 0.5)))
    own = node.options.get("negative_slope", 0.0)
    return [
        replace(
            node,
            operation="leaky_relu" + ("_backward" if "backward" in node.operation else ""),
            options={"negative_slope": s},
        )
        for s in slopes
        if abs(s - own) > 1e-9
    ]


def _bent(node: Node, e: Evidence) -> Iterable[Node]:
    """alpha is what a (or dz) is to e^z - 1 (or to da e^z) where z < 0."""

    def estimate() -> Factor | None:
        z, made = e.known.get(node.inputs[-1]), e.trace.get(node.outputs[0])
        of = z if len(node.inputs) == 1 else e.known.get(node.inputs[0])
        if of is None or z is None or made is None or not made.shape == z.shape == of.shape:
            return None
        low = np.minimum(z, 0)
        bend = np.expm1(low) if of is z else of * np.exp(low)
        error = 8 * e.eps * np.abs(made)
        return common_factor(made, 0.0, np.where(z < 0, bend, 0), error)

    found = e.number("alpha", estimate, lambda rng: float(rng.uniform(0.1, 0.7)))
    own = node.options["alpha"]
    return [replace(node, options={"alpha": a}) for a in found if abs(a - own) > 1e-9]


def _along_another(node: Node, e: Evidence) -> Iterable[Node]:
    """Along each other axis; planting takes one, and the same for both directions."""
    z = e.known.get(node.inputs[-1])
    if z is None:
        return []
    others = [dim for dim in range(z.ndim) if dim != node.options["dim"] % z.ndim]
    if e.rng is not None and others:
        others = [e.drawn.setdefault("axis", int(e.rng.choice(others)))]
    return [replace(node, options={**node.options, "dim": dim}) for dim in others]


ELU, ELU_BACKWARD = on("elu"), on("elu_backward")
ALONG, ALONG_BACKWARD = on("softmax", "log_softmax"), on("softmax_backward", "log_softmax_backward")

CAUSES = (
    Cause(
        "leaky_slope",
        "leaky_relu has another negative slope (or relu has one).",
        "leaky_relu(z, negative_slope=0.01)",
        "nn.LeakyReLU(negative_slope=0.01)",
        (
            (
                Effect(on("relu", "leaky_relu"), _leaky),
                Effect(on("relu_backward", "leaky_relu_backward"), _leaky),
            ),
            one(_leaky, on("relu_backward", "leaky_relu_backward")),
        ),
        tuned=True,
    ),
    Cause(
        "elu_alpha",
        "elu has another alpha, or its derivative has none.",
        "dz = elu_backward(da, z, alpha=alpha)  # where z < 0: da * alpha * np.exp(z)",
        "nn.ELU(alpha=alpha)",
        (
            (Effect(ELU, _bent), Effect(ELU_BACKWARD, _bent)),
            one(_bent, ELU_BACKWARD),
        ),
        tuned=True,
        activation="elu",
        remedy=of_activation,
    ),
    Cause(
        "softmax_axis",
        "Softmax is taken along another axis (over the samples instead of the units).",
        "a = softmax(z, dim=1)  # e / e.sum(axis=1, keepdims=True)",
        "nn.Softmax(dim=1)",
        (
            (Effect(ALONG, _along_another), Effect(ALONG_BACKWARD, _along_another)),
            one(_along_another, ALONG),
            one(_along_another, ALONG_BACKWARD),
        ),
        activation="softmax",
        remedy=of_activation,
    ),
)
