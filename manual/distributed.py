"""The same step on many ranks: each has its own rows, and an all-reduce adds the gradients.

A rank's loss is a mean over its own m_r rows, so its gradient has the weight m_r / m in that of the
whole batch; the plain mean over ranks is right only if all have the same number of rows. The
penalty is not a sum over rows: it is added once, after the all-reduce.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

import numpy as np

from torch_parity.manual.losses.reduction import Reduction
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


def shares(rows: Sequence[int], reduction: Reduction) -> list[float]:
    """The weight of each rank's gradient: m_r / m for a mean, 1 for "sum"."""
    return [m_r / sum(rows) if reduction != "sum" else 1.0 for m_r in rows]


def all_reduce(parts: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """sum over ranks r of weights[r] * parts[r]: dW = sum_r (m_r / m) dW_r   # [...]... -> [...]"""
    weighed = [part * weight for part, weight in zip(parts, weights, strict=True)]
    return sum(weighed[1:], start=weighed[0])


def sharded_step(
    net: Model,
    optimizer: Optimizer,
    params: Mapping[str, np.ndarray],
    state: Mapping[str, np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    masks: Mapping[str, np.ndarray],
    rows: Sequence[int],
) -> list[Tensors]:
    """One training step of len(rows) ranks -> every tensor of each, in the order it is computed.

    x, y and the masks are the whole batch's, and rank r takes the next rows[r] of them. loss_own,
    dW1_own... come from a rank's rows alone; loss, dW1... are the same on every rank.
    """
    ranks = [
        _own(net, params, x[begin:end], y[begin:end], _rows(masks, begin, end))
        for begin, end in pairwise(accumulate(rows, initial=0))
    ]
    weights = shares(rows, net.reduction)
    return [own | _together(net, optimizer, params, state, ranks, weights) for own in ranks]


def _own(
    net: Model,
    params: Mapping[str, np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    masks: Mapping[str, np.ndarray],
) -> Tensors:
    """What a rank computes from its own rows, without the penalty."""
    net = without_penalty(net)
    t = {"x": x.copy(), "y": y.copy(), **masks, **net.forward(params, x, masks)}
    t["loss_own"] = np.asarray(cost(net, params, t[net.result], y)["loss"])
    of_params = {net.names.gradient(name) for name in params}
    gradients = net.backward(params, t, y, masks)
    return t | {f"{n}_own" if n in of_params else n: g for n, g in gradients.items()}


def _together(
    net: Model,
    optimizer: Optimizer,
    params: Mapping[str, np.ndarray],
    state: Mapping[str, np.ndarray],
    ranks: Sequence[Tensors],
    weights: Sequence[float],
) -> Tensors:
    """The all-reduce, and the update, which every rank then computes for itself."""

    def reduced(name: str) -> np.ndarray:
        return np.asarray(all_reduce([own[f"{name}_own"] for own in ranks], weights))

    t = {n: np.asarray(a) for n, a in with_penalty(net, params, reduced("loss")).items()}
    gradients = {name: reduced(net.names.gradient(name)) for name in params}
    t |= gradients_of_the_cost(net, params, gradients)
    return t | update(optimizer, params, t, state, net.names)


def _rows(masks: Mapping[str, np.ndarray], begin: int, end: int) -> Tensors:
    return {name: mask[begin:end].copy() for name, mask in masks.items()}
