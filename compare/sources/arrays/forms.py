"""Other right forms of a step: programs write some of its lines differently, and mean the same.

A form is an alternative law, not a tolerance: what was handed over is judged by it as strictly as
by the usual one, and the report says so.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from torch_parity.compare.causes.plant import execute
from torch_parity.compare.flow.functions import split
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.flow.trace import Tensors
from torch_parity.compare.judge.judge import Judgement
from torch_parity.compare.judge.replay import replay
from torch_parity.compare.sources.arrays.expected import Expected
from torch_parity.compare.sources.arrays.layout import VELOCITY, Layout
from torch_parity.manual.losses.reduction import scale

MOMENTA = ("momentum", "momentum_course")


def with_velocity(expected: Expected, factor: float) -> Expected:
    """v holds factor times the sum of gradients: -lr where W = W + v, lr where W = W - v."""
    if factor == 1:
        return expected
    sign = -1.0 if factor < 0 else 1.0

    def update(f: Any, W: Any, dW: Any, v: Any, lr: float, **decay: float) -> Any:
        (rate,) = decay.values()
        gain = 1.0 if "momentum" in decay else 1 - rate
        v = rate * v + sign * lr * (dW if gain == 1 else gain * dW)
        return v, W - sign * v

    def converted(tensors: Tensors) -> dict[str, np.ndarray]:
        return {
            n: (a * factor).astype(a.dtype) if VELOCITY.fullmatch(n) else a
            for n, a in tensors.items()
        }

    nodes = (replace(n, formula=update) if n.operation in MOMENTA else n for n in expected.nodes)
    return Expected(converted(expected.start), tuple(nodes), converted(expected.torch))


FORMS = ("gradients", "steps", "negative_steps")


def momentum_of(
    mine: Mapping[str, np.ndarray], expected: Expected, lr: float, declared: Layout
) -> str:
    """The convention of momentum by which every v of mine moves its W; where no W is handed over,
    or none fits, the one that every v is closest to; else the declared one."""
    start, torch = expected.start, expected.torch
    names = [n for n in mine if VELOCITY.fullmatch(n) and n in torch]
    names = [n for n in names if mine[n].shape == torch[n].shape and torch[n].any()]
    forms = dict.fromkeys((declared.momentum, *FORMS))
    factors = {f: Layout.model_validate({"momentum": f}).velocity(lr) for f in forms}
    moves: set[str] = set()
    for name in names:
        W, v = name[1:], mine[name]
        if W in mine and mine[W].shape == v.shape:
            moved = mine[W].astype(np.float64) - start[W]
            apart = {f: float(np.abs(moved + lr / k * v).max()) for f, k in factors.items()}
            fit = min(apart, key=apart.__getitem__)
            moves |= {fit} if apart[fit] < 1e-3 * float(np.abs(moved).max()) else set()
    closest: set[str] = set()
    for name in names:
        far = {f: float(np.abs(mine[name] - torch[name] * k).max()) for f, k in factors.items()}
        closest.add(min(far, key=far.__getitem__))
    found = moves or closest
    return found.pop() if len(found) == 1 else declared.momentum


def averaged_over_samples(
    expected: Expected, mine: Mapping[str, np.ndarray], layout: Layout
) -> Expected | None:
    """Code whose dW holds its own 1/m divides the loss by m as well, not by the number of outputs:
    the law with that loss, where loss or dz are greater by the number of outputs."""
    loss = next(n for n in expected.nodes if n.outputs == ("loss",))
    outputs = expected.start["y"].shape[-1] if expected.start["y"].ndim > 1 else 1
    if layout.mean != "dW" or outputs < 2 or loss.options.get("reduction") != "mean":
        return None
    of = next(n for n in expected.nodes if n.operation.endswith("_backward") and n.forward is loss)
    last = [f"d{n}" for n in expected.torch if re.fullmatch(r"z\d+", n)][-1:]
    shown = [n for n in ("loss", *of.outputs, *last) if n in mine and n in expected.torch]
    if not shown or not all(_times(mine[n], expected.torch[n], outputs) for n in shown):
        return None
    by_samples = {**loss.options, "reduction": "batchmean"}
    new = replace(loss, options=by_samples)
    changed = {loss: new, of: replace(of, options=by_samples, forward=new)}
    nodes = tuple(changed.get(n, n) for n in expected.nodes)
    return replace(expected, nodes=nodes, torch=execute(nodes, expected.start, "torch"))


def _times(theirs: np.ndarray, ours: np.ndarray, factor: float) -> bool:
    sizes = [float(np.linalg.norm(a.astype(np.float64))) for a in (theirs, ours)]
    return bool(sizes[1]) and abs(sizes[0] / sizes[1] / factor - 1) < 0.01


def _elu(z: Any, alpha: float = 1.0) -> Any:
    return np.where(z > 0, z, alpha * (np.exp(z) - 1))


def _softplus(z: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    return np.where(beta * z > threshold, z, np.log(1 + np.exp(beta * z)) / beta)


# Formulas of an activation that are right, and lose digits where they subtract.
CANCELLING: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "tanh": {
        "2 sigmoid(2z) - 1": lambda z: 2 / (1 + np.exp(-2 * z)) - 1,
        "1 - 2 / (e^(2z) + 1)": lambda z: 1 - 2 / (np.exp(2 * z) + 1),
        "(e^z - e^-z) / (e^z + e^-z)": lambda z: (
            (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z))
        ),
    },
    "sigmoid": {"(1 + tanh(z/2)) / 2": lambda z: 0.5 * (1 + np.tanh(0.5 * z))},
    "elu": {"alpha (e^z - 1) where z <= 0": _elu},
    "softplus": {"log(1 + e^z)": _softplus},
}
# Their slopes, written in a.
SLOPES: Mapping[str, Callable[..., Any]] = {
    "tanh": lambda a, z: 1 - a * a,
    "sigmoid": lambda a, z: a * (1 - a),
    "elu": lambda a, z, alpha=1.0: np.where(z > 0, 1.0, a + alpha),
}


def with_cancelling_forms(
    nodes: tuple[Node, ...], start: Tensors, mine: Tensors
) -> tuple[tuple[Node, ...], str]:
    """The nodes; such a formula is right as well for an activation if only it explains what was
    recorded, and a sentence that says so; the nodes as they are, and "", where none does."""
    before = _not_right(nodes, start, mine)
    best, found, written = before.keys(), nodes, ""
    used = {split(n.operation)[0] for n in nodes}
    for name in CANCELLING.keys() & used if any(before.values()) else ():
        for said, formula in CANCELLING[name].items():
            changed = tuple(_by(n, name, formula) for n in nodes)
            still = _not_right(changed, start, mine).keys()
            if still < best:
                best, found, written = still, changed, f"{name}(z) = {said}"
    if not written:
        return nodes, ""
    more = ", ".join(n for n in mine if n in before.keys() - best)
    return found, f"{more}: right, but for digits that cancel, as in {written}"


def _not_right(nodes: tuple[Node, ...], start: Tensors, mine: Tensors) -> dict[str, bool]:
    """What these nodes do not explain, and whether it is known to be wrong. A form whose bound is
    so wide that it judges nothing explains nothing."""
    found = replay(nodes, start, mine, gaps=True)
    return {r.name: r.outcome == "wrong" for r in found if not r.right}


def _by(node: Node, name: str, formula: Callable[..., Any]) -> Node:
    """An activation by that formula, or its backward with the slope that follows from it."""
    operation, suffix = split(node.operation)
    if node.formula is not None or operation != name or (suffix and name not in SLOPES):
        return node
    if suffix:
        slope = SLOPES[name]
        return replace(node, also=lambda f, da, z, **o: da * slope(formula(z, **o), z, **o))
    return replace(node, also=lambda f, z, **o: formula(z, **o))


WITHOUT_FLOOR = (
    "it is the derivative of the loss, dz = (a - y) / m. The backward of torch's BCELoss holds "
    "a (1 - a) at 1e-12 or more, so its dz is smaller where a is nearer to 0 or 1; that of "
    "nn.BCEWithLogitsLoss is not"
)
APART = ("differs", "rounding")


def without_slope_floor(
    nodes: tuple[Node, ...], start: Tensors, mine: Tensors
) -> tuple[tuple[Node, ...], str]:
    """The nodes, with the derivative of logistic loss where torch's floor keeps its backward from
    it and only the derivative explains what was recorded; and the first tensor that shows it, or
    ""."""
    before = _not_right(nodes, start, mine)
    best = before.keys()
    losses = [n for n in nodes if n.operation == "binary_cross_entropy_backward"]
    for loss in losses if any(before.values()) else ():
        for new in _derivatives(loss, nodes, loss.outputs[0] in mine):
            changed = tuple(new if n.outputs == new.outputs else n for n in nodes)
            still = _not_right(changed, start, mine).keys()
            if still < best:
                nodes, best = changed, still
    return nodes, next((n for n in mine if n in before.keys() - best), "")


def _derivatives(loss: Node, nodes: tuple[Node, ...], recorded: bool) -> list[Node]:
    """da, where it was recorded; else dz at once, for of 1 - a few digits are left."""
    factor = {"reduction": loss.options.get("reduction", "mean")}

    def of_z(f: Any, a: Any, y: Any, *, reduction: Any) -> Any:
        return (a - y) * scale(reduction, a.shape)

    def of_a(f: Any, a: Any, y: Any, *, reduction: Any) -> Any:
        return of_z(f, a, y, reduction=reduction) / (a * (1 - a))

    if recorded:
        return [replace(loss, options=factor, formula=of_a)]
    return [
        replace(n, inputs=loss.inputs, options=factor, formula=of_z, forward=None)
        for n in nodes
        if n.operation == "sigmoid_backward" and n.inputs[0] in loss.outputs
    ]


def unjudged_at_the_floor(j: Judgement, name: str) -> Judgement:
    """What differs from torch's because of its floor, from this tensor on: nobody is wrong."""
    order = [r.name for r in j.replays["manual"]]
    after = {*order[order.index(name) :]} - {*j.wrong["manual"]}
    apart = {d.name for d in j.differences if d.name in after and d.verdict in APART}
    differences = [replace(d, verdict="unjudged") if d.name in apart else d for d in j.differences]
    mine = [
        replace(r, outcome="not judged", detail=WITHOUT_FLOOR) if r.name == name else r
        for r in j.replays["manual"]
    ]
    replays = {**j.replays, "manual": tuple(mine)}
    return replace(j, differences=tuple(differences), replays=replays)
