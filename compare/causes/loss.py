"""Mistakes in the loss and in where 1/m goes."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from torch_parity.compare.causes.cause import (
    Cause,
    Change,
    Effect,
    Evidence,
    is_loss,
    is_loss_backward,
    on,
    one,
)
from torch_parity.compare.causes.layers import BIAS_GRADIENT, PARAMETERS, on_parameters
from torch_parity.compare.causes.remedies import Remedy, of_loss, of_loss_gradient
from torch_parity.compare.flow.graph import kind_of
from torch_parity.compare.flow.nodes import Node


def _other_reduction(node: Node, e: Evidence) -> Iterable[Node]:
    other = "mean" if node.options["reduction"] == "sum" else "sum"
    return [replace(node, options={**node.options, "reduction": other})]


def scaled(factor: Callable[[Node, Evidence], float | None]) -> Change:
    """The operation's result times a factor that follows from the case."""

    def change(node: Node, e: Evidence) -> Iterable[Node]:
        f = factor(node, e)
        if f is None or f == 1:
            return []
        name = node.operation

        def formula(functions: Any, *inputs: Any, **options: Any) -> Any:
            return functions[name](*inputs, **options) * f

        return [replace(node, formula=formula)]

    return change


def _samples(node: Node, e: Evidence) -> int:
    return len(e.known[node.inputs[1]])


def _entries_per_sample(node: Node, e: Evidence) -> float | None:
    y = e.known[node.inputs[1]]
    return float(y[0].size) if node.options["reduction"] == "mean" and y.ndim > 1 else None


def _full_batch(node: Node, e: Evidence) -> float | None:
    if "batch" not in e.known or node.options["reduction"] != "mean":
        return None
    return _samples(node, e) / float(e.known["batch"])


def _averages(e: Evidence) -> bool:
    return any(n.options.get("reduction") in ("mean", "batchmean") for n in e.graph.losses)


def _one_more_m(node: Node, e: Evidence) -> float | None:
    return 1 / _samples(node, e) if _averages(e) else None


DW, DB = 0, 1


def _per_sample(factor: Callable[[int], float], *which: int) -> Change:
    """Of these gradients, one more 1/m or one less, where the loss averages."""

    def changed(dz: Any, x: Any, *grads: Any) -> tuple[Any, ...]:
        return tuple(g * factor(len(dz)) if i in which else g for i, g in enumerate(grads))

    change = on_parameters(changed)
    return lambda node, e: change(node, e) if _averages(e) else []


def _log_epsilon(node: Node, e: Evidence) -> Iterable[Node]:
    """log(a + eps), or no floor at all: both differ from torch's floor of -100."""
    if e.rng is not None:
        choices = [float(e.rng.choice([1e-5, 1e-7]))]
    else:
        choices = [0.0, *(10.0**-k for k in range(3, 17))]
    return [
        replace(node, formula=_log_loss, options={**node.options, "epsilon": eps})
        for eps in choices
    ]


def _log_loss(f: Any, a: Any, y: Any, reduction: str, epsilon: float) -> Any:
    size = {"mean": int(np.prod(a.shape)), "batchmean": len(a)}.get(reduction, 1)
    losses = (y - 1) * f["log"](1 - a + epsilon) - y * f["log"](a + epsilon)
    return losses.sum() * (1 / size)


# Far from the label they are a sign, and tell no more of it.
CLIPPED = ("l1_loss_backward", "smooth_l1_loss_backward", "huber_loss_backward")


def _labels(node: Node, e: Evidence) -> Iterable[Node]:
    """The labels that the gradient was computed with, if they are the given ones in other order."""
    name = node.inputs[1]
    y = e.known[name]
    if any(n.operation in CLIPPED for n in e.nodes):
        return []
    if e.rng is not None:
        key = f"labels in the place of {name}"
        if key not in e.drawn:
            e.drawn[key] = y[e.rng.permutation(len(y))]
        used = e.drawn[key]
    else:
        used = _labels_of(name, e)
    if used is not None and np.array_equal(used, y):  # one micro-batch alone may keep its order
        return [node] if _permuted_elsewhere(e) else []
    if used is None or not _permuted(used, y):
        return []
    return [
        replace(
            node,
            inputs=node.inputs[:1],
            formula=lambda f, a, **options: f[node.operation](a, f["like"](used, a), **options),
        )
    ]


def _permuted_elsewhere(e: Evidence) -> bool:
    """Whether any loss shows labels in another order."""
    names = [n.inputs[1] for n in e.graph.losses]
    shown = ((_labels_of(name, e), e.known.get(name)) for name in names)
    return any(u is not None and y is not None and _permuted(u, y) for u, y in shown)


def _labels_of(name: str, e: Evidence) -> np.ndarray | None:
    """Read off da: the loss of each possible label has a gradient of its own; where it is rounded
    to 0, the prediction is as good as the label."""
    backward = next((n for n in e.graph.readers(name) if is_loss_backward(n, e)), None)
    if backward is None:
        return None
    a, y = (e.known.get(n) for n in backward.inputs)
    da = _recorded_gradient(backward, e)
    if a is None or y is None or da is None or da.shape != a.shape:
        return None
    if backward.operation in ("cross_entropy_backward", "multi_margin_loss_backward"):
        return np.where((da < 0).any(axis=1), da.argmin(axis=1), a.argmax(axis=1))
    if backward.operation == "mse_loss_backward":
        m = a.size if backward.options["reduction"] == "mean" else 1
        used = a - da * m / 2
        nearest = np.abs(used[:, None] - y[None]).reshape(len(y), len(y), -1).max(2).argmin(1)
        return np.asarray(y[nearest])
    return np.asarray(((da < 0) | ((da == 0) & (a > 0.5))).astype(y.dtype))


def _recorded_gradient(loss_backward: Node, e: Evidence) -> np.ndarray | None:
    """da; of a micro-batch its share of it is recorded."""
    name = loss_backward.outputs[0]
    share = next((n for n in e.graph.readers(name) if n.operation == "scale"), None)
    if name in e.trace or share is None:
        return e.trace.get(name)
    scaled = e.trace.get(share.outputs[0])
    return None if scaled is None else scaled / share.options["factor"]


def _permuted(used: np.ndarray, y: np.ndarray) -> bool:
    """The same rows in another order; equal rows may change places unseen."""
    if used.shape != y.shape or np.array_equal(used, y):
        return False
    rows = [sorted(map(tuple, t.reshape(len(t), -1).tolist())) for t in (used, y)]
    return rows[0] == rows[1]


def _both(change: Change) -> tuple[Effect, ...]:
    return (Effect(is_loss, change), Effect(is_loss_backward, change))


def _once(node: Node) -> Remedy:
    """1/m stands once: in the gradient of the loss, or, as in the course, in dW and db."""
    if node.forward is not None and kind_of(node.forward) == "layer":
        return (
            "dW = dz.T @ h, db = dz.sum(axis=0), where dz carries 1/m; both divided by m, where it "
            "does not",
            "loss.backward()  # no further loss / m",
        )
    return of_loss_gradient(node)


def _squared_error(node: Node) -> Remedy:
    return of_loss_gradient(node) if node.forward is not None else of_loss(node)


CAUSES = (
    Cause(
        "reduction",
        "The loss is summed where the case averages, or averaged where it sums.",
        'cross_entropy(z, y, reduction="mean")',
        'nn.CrossEntropyLoss(reduction="mean")',
        (_both(_other_reduction),),
        remedy=of_loss,
    ),
    Cause(
        "gradient_not_averaged",
        "The loss is averaged, its gradient is not: 1/m is missing (or the other way round).",
        "dz = (a - y) / m",
        "loss = criterion(output, y)  # reduction='mean', then loss.backward()",
        (
            one(_other_reduction, is_loss_backward),
            one(_per_sample(lambda m: m, DW, DB), PARAMETERS),
            one(_per_sample(lambda m: m, DW), PARAMETERS),
            one(_per_sample(lambda m: m, DB), BIAS_GRADIENT),
        ),
        remedy=_once,
    ),
    Cause(
        "averaged_twice",
        "1/m stands in the loss and a second time in the gradient.",
        "dW = dz.T @ h  # dz carries 1/m already",
        "loss.backward()  # no further loss / m",
        (
            one(_per_sample(lambda m: 1 / m, DW, DB), PARAMETERS),
            one(_per_sample(lambda m: 1 / m, DW), PARAMETERS),
            one(scaled(_one_more_m), is_loss_backward),
        ),
        remedy=_once,
    ),
    Cause(
        "averaged_over_samples_only",
        "The loss is divided by the number of samples, not by the number of entries.",
        "loss = ((a - y) ** 2).sum() / a.size",
        "nn.MSELoss()  # its mean runs over every entry",
        (_both(scaled(_entries_per_sample)),),
        remedy=of_loss,
    ),
    Cause(
        "short_batch_as_full",
        "The last, short batch is divided by the full batch size.",
        "loss = losses.sum() / len(y)",
        "criterion(output, y)  # averages over what it is given",
        (_both(scaled(_full_batch)),),
    ),
    Cause(
        "gradient_sign",
        "The gradient of the loss has the wrong sign: y - a instead of a - y.",
        "dz = (a - y) / m",
        "loss = criterion(output, y)  # not its negative",
        (one(scaled(lambda n, e: -1.0), is_loss_backward),),
        remedy=of_loss_gradient,
    ),
    Cause(
        "half_squared_error",
        "The squared error carries a factor 1/2 that torch's does not have.",
        "loss = ((a - y) ** 2).mean()",
        "nn.MSELoss()",
        (
            (
                Effect(on("mse_loss"), scaled(lambda n, e: 0.5)),
                Effect(on("mse_loss_backward"), scaled(lambda n, e: 0.5)),
            ),
            one(scaled(lambda n, e: 0.5), on("mse_loss_backward")),
        ),
        remedy=_squared_error,
    ),
    Cause(
        "log_clamp",
        "The log is kept finite by an epsilon inside it (or not at all), not by torch's floor.",
        "np.maximum(np.log(a), -100)",
        "nn.BCELoss()  # clamps its logs at -100",
        (one(_log_epsilon, on("binary_cross_entropy")),),
    ),
    Cause(
        "shuffled_labels",
        "The labels are in another order than the samples.",
        "x, y = x[order], y[order]  # one order for both",
        "DataLoader(TensorDataset(x, y), shuffle=True)  # shuffles pairs",
        (_both(_labels), one(_labels, is_loss_backward)),
    ),
)
