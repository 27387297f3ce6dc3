"""One step with clipped gradients: if all of them together are too long, they are shortened first.

The gradients that torch has in .grad are clipped. There a penalty in the loss is part of it; the
optimizer's weight_decay is added later, after clipping.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from torch_parity.manual.models.step import (
    Model,
    Optimizer,
    Tensors,
    cost,
    gradients_of_the_cost,
    update,
    weights_of,
    without_penalty,
)
from torch_parity.manual.names import unclipped
from torch_parity.manual.ops.clip_grads_with_norm import clip_grad_norm


@dataclass(frozen=True)
class Clipping:
    """max_norm is the greatest length of all gradients together; before_penalty says that the
    penalty is added afterwards, as weight_decay is."""

    max_norm: float
    before_penalty: bool = False


def clipped_names(net: Model, clipping: Clipping) -> dict[str, str]:
    """What the gradient that is clipped is called, for each parameter."""
    late = set(weights_of(net)) if clipping.before_penalty and (net.l1 or net.l2) else set()
    names = net.names
    return {p: (names.loss_gradient if p in late else names.gradient)(p) for p in net.shapes()}


def clipped_gradients(
    net: Model,
    params: Mapping[str, np.ndarray],
    g: Mapping[str, np.ndarray],
    clipping: Clipping,
) -> Tensors:
    """From the gradients of the loss, g[name] for each parameter: total_norm, and every gradient,
    before (dW1_unclipped) and after clipping (dW1)."""
    names = clipped_names(net, clipping)
    t = {} if clipping.before_penalty else gradients_of_the_cost(net, params, g)
    long = dict(g) if clipping.before_penalty else {p: t[net.names.gradient(p)] for p in g}
    short, norm = clip_grad_norm(long, clipping.max_norm)
    t |= {unclipped(names[p]): a for p, a in long.items()}
    t["total_norm"] = np.asarray(norm)
    if clipping.before_penalty:
        return t | gradients_of_the_cost(net, params, short)
    return t | {names[p]: a for p, a in short.items()}


def clipped_step(
    net: Model,
    optimizer: Optimizer,
    params: Mapping[str, np.ndarray],
    state: Mapping[str, np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    masks: Mapping[str, np.ndarray],
    clipping: Clipping,
) -> Tensors:
    """One training step: forward, cost, backward, clipping, update; every tensor, in that order."""
    trained = {name: params[name] for name in net.shapes()}
    t = net.forward(params, x, masks)
    t |= {n: np.asarray(a) for n, a in cost(net, params, t[net.result], y).items()}
    t |= without_penalty(net).backward(params, t, y, masks)
    g = {name: t.pop(net.names.gradient(name)) for name in trained}
    t |= clipped_gradients(net, trained, g, clipping)
    return t | update(optimizer, trained, t, state, net.names)
