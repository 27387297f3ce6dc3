"""Mistakes in the update: momentum's conventions, Adam's corrections, the size of the step."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.precision import is_real
from torch_parity.compare.causes.cause import (
    Cause,
    Change,
    Effect,
    Evidence,
    by,
    on,
    one,
)
from torch_parity.compare.causes.factor import Factor, common_factor
from torch_parity.compare.causes.remedies import of_step
from torch_parity.compare.flow.functions import FUNCTIONS
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register import OPTIMIZERS

MOMENTA = on("momentum", "momentum_course")
COUNT, UPDATE = on("count"), on(*OPTIMIZERS)


def _decay(node: Node) -> float:
    return float(node.options.get("momentum", node.options.get("beta")))


def _other_convention(node: Node, e: Evidence) -> Iterable[Node]:
    lr, decay = node.options["lr"], _decay(node)
    if node.operation == "momentum":
        return [replace(node, operation="momentum_course", options={"lr": lr, "beta": decay})]
    return [replace(node, operation="momentum", options={"lr": lr, "momentum": decay})]


def _dampened(node: Node, e: Evidence) -> Iterable[Node]:
    """v' = decay * v + keep * dW, with keep = 1 - dampening."""
    decay = _decay(node)

    def estimate() -> Factor | None:
        dW, v = (e.known.get(n) for n in node.inputs[1:3])
        made = e.trace.get(node.outputs[0])
        if dW is None or v is None or made is None or made.shape != v.shape:
            return None
        error = e.eps * (np.abs(decay * v) + np.abs(made))
        return common_factor(made, decay * v, dW, error)

    found = e.number("keep", estimate, lambda rng: 1 - float(rng.uniform(0.1, 0.8)))
    return [
        replace(node, formula=_momentum_step, options={**node.options, "keep": keep})
        for keep in found
        if 0 < keep < 1 - 1e-6
    ]


def _momentum_step(f: Any, W: Any, dW: Any, v: Any, lr: float, keep: float, **decay: float) -> Any:
    (rate,) = decay.values()
    v = rate * v + keep * dW
    return v, W - lr * v


def _nesterov(f: Any, W: Any, dW: Any, v: Any, lr: float, **decay: float) -> Any:
    (rate,) = decay.values()
    gain = 1.0 if "momentum" in decay else 1 - rate
    v = rate * v + gain * dW
    return v, W - lr * (gain * dW + rate * v)


def _no_memory(f: Any, W: Any, dW: Any, v: Any, lr: float, **decay: float) -> Any:
    return dW * 1, W - lr * dW


def _step_scaled(draw: Callable[[np.random.Generator], float], sign: float) -> Change:
    """The factor is what this side's step is to the right one, at the step's greatest entry."""

    def change(node: Node, e: Evidence) -> Iterable[Node]:
        factors = e.number(f"step {sign}", lambda: _step_ratio(node, e), draw)
        return [
            replace(node, options={**node.options, "lr": node.options["lr"] * f})
            for f in factors
            if f * sign > 0 and abs(f - 1) > 1e-9
        ]

    return change


def _step_ratio(node: Node, e: Evidence) -> Factor | None:
    made = e.trace.get(node.outputs[-1])
    if made is None or not all(name in e.known for name in node.inputs):
        return None
    W = e.known[node.inputs[0]]
    given = (e.judged[0].get(name, e.known[name]) for name in node.inputs)
    bounded = [Bounded.exact(a) if is_real(a.dtype) else a for a in given]
    result = FUNCTIONS[node.operation](*bounded, **node.options)
    right = result[-1] if isinstance(result, tuple) else result
    if made.shape != right.shape:
        return None
    return common_factor(made, W, right.value - W, right.error)


def _descent(node: Node, e: Evidence) -> Iterable[Node]:
    return [replace(node, options={**node.options, "lr": -node.options["lr"]})]


def _frozen_parameter(node: Node, e: Evidence) -> Iterable[Node]:
    moments = len(node.outputs) - 1

    def still(f: Any, W: Any, dW: Any, *slots: Any, **options: Any) -> Any:
        return (*(s * 1 for s in slots[:moments]), W * 1)

    return [replace(node, formula=still)]


def _parameter_alone(node: Node, e: Evidence) -> Iterable[Node]:
    """The memory goes on, the parameter stays."""

    def still(f: Any, W: Any, *rest: Any, **options: Any) -> Any:
        result = f[node.operation](W, *rest, **options)
        return (*(result[:-1] if isinstance(result, tuple) else ()), W * 1)

    return [replace(node, formula=still)]


CAUSES = (
    Cause(
        "momentum_convention",
        "One side averages gradients (the course), the other adds them up (torch).",
        "v = beta * v + dW  # torch; the course: beta * v + (1 - beta) * dW",
        "SGD(lr=lr * (1 - beta), momentum=beta)  # is the course's average",
        (one(_other_convention, MOMENTA),),
        remedy=of_step,
    ),
    Cause(
        "dampening",
        "Momentum is dampened: part of each new gradient is left out.",
        "v = momentum * v + dW",
        "SGD(..., momentum=0.9, dampening=0)",
        (one(_dampened, MOMENTA),),
        tuned=True,
        remedy=of_step,
    ),
    Cause(
        "nesterov",
        "Nesterov's look-ahead is used where plain momentum is meant.",
        "W = W - lr * v",
        "SGD(..., momentum=0.9, nesterov=False)",
        (one(by(_nesterov), MOMENTA),),
        remedy=of_step,
    ),
    Cause(
        "momentum_missing",
        "The step follows this gradient alone: what momentum remembers is not used.",
        "v = momentum * v + dW",
        "SGD(..., momentum=0.9)",
        (one(by(_no_memory), MOMENTA),),
        remedy=of_step,
    ),
    Cause(
        "ascent",
        "The step goes along the gradient instead of against it.",
        "W = W - lr * dW",
        "torch.optim.SGD(..., maximize=False)",
        (one(_descent, UPDATE),),
        remedy=of_step,
    ),
    Cause(
        "learning_rate",
        "The step is right but for a factor: another learning rate, or an update done twice.",
        "W - lr * dW",
        "torch.optim.SGD(params, lr=lr)",
        (one(_step_scaled(lambda rng: float(rng.uniform(1.1, 3)), 1.0), UPDATE),),
        tuned=True,
        remedy=of_step,
    ),
    Cause(
        "frozen_layer",
        "A layer is not updated: it is frozen, or the optimizer does not know it.",
        "for name in params: ...  # every layer",
        "torch.optim.SGD(net.parameters(), ...)  # and requires_grad=True",
        (
            (
                Effect(UPDATE, _frozen_parameter),
                Effect(COUNT, by(lambda f, t: t * 1)),
            ),
            one(_parameter_alone, UPDATE),
        ),
    ),
)
