"""Mistakes in activations and their slopes."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from torch_parity.compare.causes.cause import (
    Cause,
    Change,
    Effect,
    Evidence,
    Where,
    by,
    into,
    on,
    one,
)
from torch_parity.compare.causes.layers import LINEAR
from torch_parity.compare.causes.remedies import of_activation, of_slope
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register import OPERATIONS, of_kind


def sloped_activations() -> list[str]:
    """Every activation that changes something."""
    return [name for name in of_kind("activation") if name != "identity"]


def forward(node: Node, e: Evidence) -> bool:
    """z -> a, whatever the activation."""
    return e.graph.activates(node)


def backward(node: Node, e: Evidence) -> bool:
    """da -> dz, whatever the activation."""
    return e.graph.slopes(node)


def _sloped(where: Where) -> Where:
    return lambda node, e: where(node, e) and not node.operation.startswith("identity")


def _another(suffix: str) -> Change:
    """Every other activation is tried; planting takes one, and the same for both directions."""

    def change(node: Node, e: Evidence) -> Iterable[Node]:
        own = node.operation.removesuffix("_backward")
        brought = _brought_by_the_loss(node, e)
        others = [name for name in sloped_activations() if name not in (own, brought)]
        if e.rng is not None:
            key = f"not {own} {e.graph.feeds_the_loss(node)}"
            others = [e.drawn.setdefault(key, str(e.rng.choice(others)))]
        return [
            replace(node, operation=o + suffix, options=OPERATIONS[o].options[0]) for o in others
        ]

    return change


def _brought_by_the_loss(node: Node, e: Evidence) -> str | None:
    """An activation of the output that the loss applies itself is a mistake of its own name."""
    own = {"cross_entropy": "softmax", "binary_cross_entropy_with_logits": "sigmoid"}
    if not e.graph.feeds_the_loss(node):
        return None
    return next((own[n.operation] for n in e.nodes if n.operation in own), None)


def _formula_in_a(of: str, slope: Callable[[Any], Any]) -> Change:
    """Another activation's slope as courses write it, a (1 - a) or 1 - a^2, of this layer's a."""

    def change(node: Node, e: Evidence) -> Iterable[Node]:
        own = node.operation.removesuffix("_backward")
        if own in (of, "identity"):
            return []
        given = dict(node.options)
        return [replace(node, formula=lambda f, da, z, **_: da * slope(f[own](z, **given)))]

    return change


def _slope_at_a(node: Node, e: Evidence) -> Iterable[Node]:
    """g'(a) instead of g'(z)."""
    a = node.forward.outputs[0] if node.forward else ""
    return [replace(node, inputs=(node.inputs[0], a))] if a in e.known or e.rng else []


def _z_taken_for_a(f: Any, da: Any, z: Any) -> Any:
    return da * z * (1 - z)


def _z_taken_for_tanh(f: Any, da: Any, z: Any) -> Any:
    return da * (1 - z * z)


def _output(name: str, suffix: str, loss: str) -> Change:
    def change(node: Node, e: Evidence) -> Iterable[Node]:
        fits = e.graph.feeds_the_loss(node) and any(n.operation == loss for n in e.nodes)
        return [replace(node, operation=name + suffix)] if fits else []

    return change


def _plain(where: Where) -> Where:
    return lambda node, e: where(node, e) and node.operation.startswith("identity")


def _twice(name: str, loss: str) -> tuple[Effect, ...]:
    return (
        Effect(_plain(forward), _output(name, "", loss)),
        Effect(_plain(backward), _output(name, "_backward", loss)),
    )


def _twice_in_the_loss(name: str, loss: str) -> tuple[Effect, ...]:
    """The output is recorded as it is, and the loss is taken of g(z)."""

    def forward(f: Any, z: Any, y: Any, **options: Any) -> Any:
        return f[loss](f[name](z), y, **options)

    def backward(f: Any, z: Any, y: Any, **options: Any) -> Any:
        return f[f"{name}_backward"](f[f"{loss}_backward"](f[name](z), y, **options), z)

    return Effect(on(loss), by(forward)), Effect(on(f"{loss}_backward"), by(backward))


def _twice_hidden(name: str) -> tuple[Effect, ...]:
    """a = g(g(z)) in the layer itself; the slope by the chain rule."""
    back = name + "_backward"
    return (
        Effect(on(name), by(lambda f, z, **o: f[name](f[name](z, **o), **o))),
        Effect(
            on(back), by(lambda f, da, z, **o: f[back](f[back](da, f[name](z, **o), **o), z, **o))
        ),
    )


def _overwritten(node: Node, e: Evidence) -> Iterable[Node]:
    """z = g(linear(x, W, b)), with the g of this layer."""
    return [
        replace(
            node,
            formula=lambda f, *inputs, name=n.operation, options=n.options: f[name](
                f[node.operation](*inputs), **options
            ),
        )
        for n in e.graph.readers(node.outputs[0])
        if forward(n, e) and n.operation != "identity"
    ]


def _without_the_product_rule(f: Any, da: Any, z: Any) -> Any:
    """The sigmoid held fixed, as if it were no function of z."""
    return da * f["sigmoid"](z)


IN_PLACE = Effect(LINEAR, _overwritten)
HANDED_ON = Effect(_sloped(forward), into("identity"))

CAUSES = (
    Cause(
        "softmax_twice",
        "Softmax is applied before cross_entropy, which brings its own (or twice in a layer).",
        "loss = cross_entropy(z, y)  # raw z",
        "nn.CrossEntropyLoss()(z, y)  # raw z, no nn.Softmax before it",
        (
            _twice("softmax", "cross_entropy"),
            _twice_in_the_loss("softmax", "cross_entropy"),
            _twice_hidden("softmax"),
        ),
    ),
    Cause(
        "sigmoid_twice",
        "Sigmoid is applied before binary_cross_entropy_with_logits (or twice in a layer).",
        "loss = binary_cross_entropy_with_logits(z, y)  # raw z",
        "nn.BCEWithLogitsLoss()(z, y)  # raw z, no nn.Sigmoid before it",
        (
            _twice("sigmoid", "binary_cross_entropy_with_logits"),
            _twice_in_the_loss("sigmoid", "binary_cross_entropy_with_logits"),
            _twice_hidden("sigmoid"),
        ),
    ),
    Cause(
        "activation_missing",
        "A layer hands on z as it is: its activation was forgotten.",
        "a = relu(z)  # or tanh, sigmoid...: the layer's own",
        "nn.Sequential(..., nn.Linear(n_in, n_out), nn.ReLU(), ...)  # or the layer's own",
        (
            (
                Effect(_sloped(forward), into("identity")),
                Effect(_sloped(backward), into("identity_backward")),
            ),
        ),
        remedy=of_activation,
    ),
    Cause(
        "another_activation",
        "A layer uses another activation, forward and backward.",
        "a = g(z)  # g is the activation that the case names",
        "g()  # nn.ReLU, nn.Tanh...: the one that the case names",
        ((Effect(forward, _another("")), Effect(backward, _another("_backward"))),),
        remedy=of_activation,
    ),
    Cause(
        "slope_of_another_activation",
        "The backward pass uses the derivative of another activation than the forward pass.",
        "dz = tanh_backward(da, z)  # for a = tanh(z)",
        "a = torch.tanh(z)  # and leave its slope to autograd",
        (
            one(_another("_backward"), backward),
            one(_formula_in_a("sigmoid", lambda a: a * (1 - a)), backward),
            one(_formula_in_a("tanh", lambda a: 1 - a * a), backward),
        ),
        remedy=of_slope,
    ),
    Cause(
        "slope_missing",
        "The activation's derivative is forgotten: dz = da.",
        "dz = tanh_backward(da, z)  # or the backward of the layer's own activation",
        "a = torch.tanh(z)  # or the layer's own; without detach() or .data",
        (one(into("identity_backward"), _sloped(backward)),),
        remedy=of_slope,
    ),
    Cause(
        "slope_at_the_wrong_place",
        "The derivative is taken at a instead of z, or its formula in a is given z.",
        "dz = sigmoid_backward(da, z)  # in a: da * a * (1 - a); of tanh: da * (1 - a * a)",
        "a = torch.sigmoid(z)  # or torch.tanh: and leave its slope to autograd",
        (
            one(_slope_at_a, on("sigmoid_backward", "tanh_backward", "softmax_backward")),
            one(by(_z_taken_for_a), on("sigmoid_backward")),
            one(by(_z_taken_for_tanh), on("tanh_backward")),
        ),
        remedy=of_slope,
    ),
    Cause(
        "silu_without_the_product_rule",
        "The derivative of silu is the sigmoid alone: the term in which z is a factor is missing.",
        "dz = da * (s + z * s * (1 - s))  # s = sigmoid(z)",
        "nn.SiLU()  # and leave its slope to autograd",
        (one(by(_without_the_product_rule), on("silu_backward")),),
        activation="silu",
    ),
    Cause(
        "in_place_activation",
        "An in-place activation has overwritten z before it was recorded.",
        "a = np.maximum(z, 0)  # not np.maximum(z, 0, out=z)",
        "nn.ReLU()  # inplace=False, or clone() in the hook",
        (
            # relu of what relu left is the same; of the others a is z as recorded, and the slope is
            # that at the recorded z or, where a was saved for it, the right one
            (IN_PLACE,),
            (IN_PLACE, HANDED_ON),
            (IN_PLACE, HANDED_ON, Effect(on("sigmoid_backward"), by(_z_taken_for_a))),
            (IN_PLACE, HANDED_ON, Effect(on("tanh_backward"), by(_z_taken_for_tanh))),
        ),
    ),
)
