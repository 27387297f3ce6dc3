"""One step on a batch cut into micro-batches: their gradients are added up, then one update.

A micro-batch's loss is a mean over its own m_k rows, so it counts m_k / m in the loss of the whole
batch: 1 / K where all K have the same size. A loss that is a sum has no factor. Then the
gradients add up to that of the whole batch. The penalty is not a sum over rows: it is added once,
after the last micro-batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from torch_parity.manual.clipping import Clipping, clipped_gradients
from torch_parity.manual.distributed import shares
from torch_parity.manual.models.step import (
    Model,
    Optimizer,
    Tensors,
    cost,
    gradients_of_the_cost,
    update,
    with_penalty,
    without_penalty,
)
from torch_parity.manual.names import of_micro_batch

Part = tuple[np.ndarray, np.ndarray, Mapping[str, np.ndarray]]  # x, y, masks


def micro_batches(samples: int, count: int) -> tuple[int, ...]:
    """The sizes of the parts that np.array_split cuts a batch in; a batch of fewer samples than
    parts is cut into single samples."""
    return tuple(len(part) for part in np.array_split(np.arange(samples), min(count, samples)))


def accumulated_step(
    net: Model,
    optimizer: Optimizer,
    params: Mapping[str, np.ndarray],
    state: Mapping[str, np.ndarray],
    parts: Sequence[Part],
    clipping: Clipping | None = None,
) -> Tensors:
    """One training step: forward and backward of each micro-batch, then penalty, clipping and
    update; every tensor, in that order.

    Micro-batch k has z1_mk, dW1_mk...; loss_mk is its loss, loss_share_mk (for a mean) what that
    counts in the loss of the batch.
    """
    trained = {name: params[name] for name in net.shapes()}
    t: Tensors = {}
    losses: list[np.ndarray] = []
    for k, share in enumerate(shares([len(x) for x, _, _ in parts], net.reduction)):
        own = _gradients(net, params, parts[k], share)
        losses.append(own.get("loss_share", own["loss"]))
        t |= {of_micro_batch(name, k): a for name, a in own.items()}
    t |= {n: np.asarray(a) for n, a in with_penalty(net, params, _added_up(losses)).items()}
    g = {}
    for name in trained:
        d = net.names.gradient(name)
        g[name] = _added_up([t[of_micro_batch(d, k)] for k in range(len(parts))])
    if clipping:
        t |= clipped_gradients(net, trained, g, clipping)
    else:
        t |= gradients_of_the_cost(net, trained, g)
    return t | update(optimizer, trained, t, state, net.names)


def _gradients(net: Model, params: Mapping[str, np.ndarray], part: Part, share: float) -> Tensors:
    """Forward and backward of a micro-batch, without the penalty."""
    x, y, masks = part
    net = cast(Model, replace(cast(Any, without_penalty(net)), share=share))
    t = net.forward(params, x, masks)
    t["loss"] = np.asarray(cost(net, params, t[net.result], y)["loss"])
    if share != 1:
        t["loss_share"] = np.asarray(share * t["loss"])
    return t | net.backward(params, t, y, masks)


def _added_up(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The sum, one after the other, as .grad has it."""
    return sum(parts[1:], start=parts[0])
