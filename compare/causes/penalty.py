"""Mistakes in L1 and L2: how much, on what, and by which route."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from torch_parity.compare.causes.cause import (
    Cause,
    Change,
    Effect,
    Evidence,
    by,
    on,
    one,
    read_also,
)
from torch_parity.compare.causes.factor import Factor, common_factor
from torch_parity.compare.causes.layers import BIAS_GRADIENT
from torch_parity.compare.causes.remedies import of_penalised_cost, of_penalty
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register import OPTIMIZERS

COST, GRADIENT = on("penalty"), on("penalty_backward")


def SUM(node: Node, e: Evidence) -> bool:
    """Where the loss and the penalty are added up."""
    made = (e.graph.maker(name) for name in node.inputs)
    return node.operation == "add" and any(m and m.operation == "penalty" for m in made)


def update_of_weights(node: Node, e: Evidence) -> bool:
    """The updates of what is penalised."""
    return node.operation in OPTIMIZERS and node.inputs[0] in e.graph.penalised


def update_of_biases(node: Node, e: Evidence) -> bool:
    """The updates of what is not penalised."""
    return node.operation in OPTIMIZERS and node.inputs[0] not in e.graph.penalised


def _lambda(factor: Callable[[Node, Evidence], float]) -> Change:
    def change(node: Node, e: Evidence) -> Iterable[Node]:
        f = factor(node, e)
        return [] if f == 1 else [_with_lambda(node, f)]

    return change


def _with_lambda(node: Node, factor: float) -> Node:
    o = node.options
    return replace(node, options={**o, "l1": o["l1"] * factor, "l2": o["l2"] * factor})


def _another_lambda(node: Node, e: Evidence) -> Iterable[Node]:
    """The factor is what the penalty's share of dW is to the right share."""

    def estimate() -> Factor | None:
        dW, W = (e.known.get(n) for n in node.inputs)
        made = e.trace.get(node.outputs[0])
        if dW is None or W is None or made is None or made.shape != W.shape:
            return None
        o = node.options
        right = o["l2"] / o["m"] * W + o["l1"] / (2 * o["m"]) * np.sign(W)
        error = e.eps * (np.abs(dW) + np.abs(made))
        return common_factor(made, dW, right, error)

    factors = e.number("lambda", estimate, lambda rng: float(rng.uniform(1.1, 1.9)))
    return [_with_lambda(node, f) for f in factors if abs(f) > 1e-6]


def _swapped(node: Node, e: Evidence) -> Iterable[Node]:
    o = node.options
    if bool(o["l1"]) == bool(o["l2"]):
        return []
    return [replace(node, options={**o, "l1": o["l2"], "l2": o["l1"]})]


def _decayed_bias(node: Node, e: Evidence) -> Iterable[Node]:
    """db + lambda / m * b: recorded in db, or only in the update (as weight_decay does)."""
    penalty = e.penalty()
    if penalty is None:
        return []
    rate, rate1 = penalty["l2"] / penalty["m"], penalty["l1"] / (2 * penalty["m"])
    n = len(node.inputs)

    def decay(f: Any, b: Any) -> Any:
        return rate * b + rate1 * f["sign"](b)

    if BIAS_GRADIENT(node, e):
        assert node.forward is not None
        b = node.forward.inputs[2]

        def in_gradient(f: Any, *inputs: Any) -> Any:
            *rest, db = f[node.operation](*inputs[:n])
            return (*rest, db + decay(f, inputs[n]))

        return [read_also(node, in_gradient, b)]

    def in_update(f: Any, b: Any, db: Any, *slots: Any, **options: Any) -> Any:
        return f[node.operation](b, db + decay(f, b), *slots, **options)

    return [replace(node, formula=in_update)]


def _decoupled(node: Node, e: Evidence) -> Iterable[Node]:
    """W shrinks by lr * lambda / m on its own; the moments see the gradient of the loss alone."""
    penalty = e.penalty()
    if penalty is None or node.operation != "adam" or not penalty["l2"]:
        return []
    penalised = e.graph.maker(node.inputs[1])
    if penalised is None or penalised.operation != "penalty_backward":
        return []
    dW_loss, lr = penalised.inputs[0], node.options["lr"]
    shrink = lr * penalty["l2"] / penalty["m"]

    def formula(f: Any, W: Any, dW: Any, *rest: Any, **options: Any) -> Any:
        *slots, loss_gradient = rest
        *state, new_W = f["adam"](W, loss_gradient, *slots, **options)
        return (*state, new_W - shrink * W)

    return [read_also(node, formula, dW_loss)]


def _batch(node: Node, e: Evidence) -> float:
    return float(node.options["m"] / len(e.labels))


def scaled_everywhere(factor: Callable[[Node, Evidence], float]) -> tuple[tuple[Effect, ...], ...]:
    """In the gradient alone (weight_decay does not show in the cost), or in the cost as well."""
    change = _lambda(factor)
    return ((Effect(GRADIENT, change), Effect(COST, change)), one(change, GRADIENT))


CAUSES = (
    Cause(
        "lambda_doubled",
        "The gradient carries 2 lambda: the 2 of the square was not cancelled by the 1/2.",
        "dW = dW_loss + lambd / m * W",
        "SGD(..., weight_decay=lambd / m)",
        scaled_everywhere(lambda n, e: 2.0),
        remedy=of_penalty,
    ),
    Cause(
        "lambda_halved",
        "The gradient carries lambda/(2m): the 1/2 of the cost was carried over.",
        "dW = dW_loss + lambd / m * W",
        "SGD(..., weight_decay=lambd / m)",
        scaled_everywhere(lambda n, e: 0.5),
        remedy=of_penalty,
    ),
    Cause(
        "lambda_not_divided_by_m",
        "lambda itself is used where lambda/m is meant. If lambda/2 * sum(W^2) is meant, it is the "
        'case\'s penalty="half_sum".',
        "dW = dW_loss + lambd / m * W  # or Case(penalty='half_sum'), for lambd * W",
        "SGD(..., weight_decay=lambd / m)  # or weight_decay=lambd",
        scaled_everywhere(lambda n, e: float(n.options["m"])),
    ),
    Cause(
        "penalty_of_the_plain_sum",
        "The penalty is lambda * sum(W^2), without 1/(2m): if that is meant, it is the case's "
        'penalty="sum".',
        "dW = dW_loss + lambd / m * W  # or Case(penalty='sum'), for 2 * lambd * W",
        "SGD(..., weight_decay=lambd / m)  # or weight_decay=2 * lambd",
        scaled_everywhere(lambda n, e: 2.0 * n.options["m"]),
    ),
    Cause(
        "lambda_divided_by_the_batch",
        "lambda is divided by the size of the batch instead of the fixed m.",
        "dW = dW_loss + lambd / m * W  # m of the training set",
        "SGD(..., weight_decay=lambd / m)  # m of the training set",
        scaled_everywhere(_batch),
        remedy=of_penalty,
    ),
    Cause(
        "penalty_subtracted",
        "The penalty is subtracted instead of added: the weights grow.",
        "dW = dW_loss + lambd / m * W",
        "SGD(..., weight_decay=lambd / m)",
        scaled_everywhere(lambda n, e: -1.0),
        remedy=of_penalty,
    ),
    Cause(
        "another_lambda",
        "The penalty's gradient is right but for a factor: another lambda.",
        "dW = dW_loss + lambd / m * W",
        "SGD(..., weight_decay=lambd / m)",
        (one(_another_lambda, GRADIENT),),
        remedy=of_penalty,
        tuned=True,
    ),
    Cause(
        "penalty_in_cost_only",
        "The penalty is in the cost, but its gradient is forgotten.",
        "dW = dW_loss + l2_penalty_backward(W, lambd, m)",
        "(loss + l2_penalty(weights, lambd, m)).backward()",
        (one(by(lambda f, dW, W, **options: dW * 1), GRADIENT),),
        remedy=of_penalty,
    ),
    Cause(
        "penalty_in_gradient_only",
        "The penalty's gradient is applied, but the cost leaves the penalty out.",
        "cost = loss + l2_penalty(weights, lambd, m)",
        "cost = loss + l2_penalty(weights, lambd, m)  # weight_decay never shows in the loss",
        (
            one(by(lambda f, loss, penalty: loss * 1), SUM),
            one(by(lambda f, *weights, **options: (weights[0] * 0).sum()), COST),
        ),
    ),
    Cause(
        "penalty_scale",
        "The cost's penalty is not lambda/(2m) sum W^2: the 2, or m, is missing, or its sign.",
        "lambd / (2 * m) * (W * W).sum()",
        "lambd / (2 * m) * W.square().sum()",
        (
            one(_lambda(lambda n, e: 2.0), COST),
            one(_lambda(lambda n, e: 0.5), COST),
            one(_lambda(lambda n, e: float(n.options["m"])), COST),
            one(_lambda(lambda n, e: 2.0 * n.options["m"]), COST),
            one(_lambda(_batch), COST),
            one(_lambda(lambda n, e: -1.0), COST),
        ),
        remedy=of_penalised_cost,
    ),
    Cause(
        "biases_decayed",
        "The penalty is applied to the biases as well.",
        "db = dz.sum(axis=0)  # no penalty on biases",
        '[{"params": weights, "weight_decay": lambd / m}, {"params": biases, "weight_decay": 0}]',
        (one(_decayed_bias, BIAS_GRADIENT), one(_decayed_bias, update_of_biases)),
    ),
    Cause(
        "l1_for_l2",
        "L1 is used where the case asks for L2, or the other way round.",
        "dW = dW_loss + lambd / m * W  # L2; L1 has sign(W) / 2",
        "SGD(..., weight_decay=lambd / m)  # is L2",
        (
            (Effect(GRADIENT, _swapped), Effect(COST, _swapped)),
            one(_swapped, GRADIENT),
        ),
        remedy=of_penalty,
    ),
    Cause(
        "decoupled_weight_decay",
        "Adam decays the weights on their own (AdamW) where L2 goes through the gradient.",
        "dW = dW_loss + lambd / m * W; adam(W, dW, ...)",
        "torch.optim.Adam(..., weight_decay=lambd / m)  # not AdamW",
        (
            (
                Effect(GRADIENT, by(lambda f, dW, W, **options: dW * 1)),
                Effect(update_of_weights, _decoupled),
            ),
            one(_decoupled, update_of_weights),
        ),
    ),
)
