"""Mistakes that need more than one rank: what a rank's share weighs, and what is its own."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from torch_parity import manual
from torch_parity.compare.causes.cause import (
    Cause,
    Change,
    Effect,
    Evidence,
    by,
    is_loss,
    on,
    one,
    read_also,
)
from torch_parity.compare.causes.layers import PARAMETERS, of_parameters
from torch_parity.compare.causes.optimizer import UPDATE
from torch_parity.compare.causes.penalty import GRADIENT, scaled_everywhere
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.flow.sharded import on_rank, rank_of

ALL_REDUCE, SHARD = on("all_reduce"), on("shard")
Weigh = Callable[[Sequence[int], str, int], Sequence[float] | None]


def _gradients(node: Node, e: Evidence) -> bool:
    return ALL_REDUCE(node, e) and not node.outputs[0].startswith("loss")


def _ranks(e: Evidence) -> int:
    """How many ranks the step has; 1 where nothing is reduced."""
    return next((len(node.inputs) for node in e.nodes if ALL_REDUCE(node, e)), 1)


def _sums(e: Evidence) -> bool:
    return any(ALL_REDUCE(n, e) and n.options["reduction"] == "sum" for n in e.nodes)


def _weighed(weigh: Weigh) -> Change:
    """The all-reduce with other weights: weigh(rows, reduction, rank), None where it does not
    apply."""

    def change(node: Node, e: Evidence) -> Iterable[Node]:
        rows, reduction = node.options["rows"], node.options["reduction"]
        weights = weigh(rows, reduction, rank_of(node))
        if weights is None or list(weights) == manual.shares(rows, reduction):
            return []
        return [replace(node, formula=lambda f, *parts, **options: f["weigh"](parts, weights))]

    return change


def _reduced_by(weigh: Weigh) -> tuple[tuple[Effect, ...], ...]:
    """In the gradients, or in the loss as well."""
    return one(_weighed(weigh), _gradients), one(_weighed(weigh), ALL_REDUCE)


def _plain_mean(of: str) -> Weigh:
    return lambda rows, reduction, rank: [1 / len(rows) for _ in rows] if reduction == of else None


def _plain_sum(rows: Sequence[int], reduction: str, rank: int) -> Sequence[float] | None:
    return [1.0 for _ in rows] if reduction == "mean" else None


def _own_alone(rows: Sequence[int], reduction: str, rank: int) -> Sequence[float]:
    return [float(r == rank) for r in range(len(rows))]


def _first_rows(node: Node, e: Evidence) -> Iterable[Node]:
    """A generator with the same seed on every rank starts every rank's mask alike, row by row."""
    mask, count = node.inputs[0], node.options["end"] - node.options["begin"]
    if _samples(node, e):
        return []
    used = e.known[mask][:count] if e.rng is not None else _common_mask(mask, rank_of(node), e)
    if used is None or len(used) != count:
        return []

    def formula(f: Any, batch: Any, begin: int, end: int) -> Any:
        return f["like"](used, batch) + 0 * batch[begin:end]

    return [replace(node, formula=formula)]


def _common_mask(name: str, rank: int, e: Evidence) -> np.ndarray | None:
    """The rank's, if all ranks' begin with the same rows."""
    masks = [m for r in range(_ranks(e)) if (m := e.trace.get(on_rank(name, r))) is not None]
    fewest = min(map(len, masks), default=0)
    alike = all(np.array_equal(m[:fewest], masks[0][:fewest]) for m in masks)
    return e.trace[on_rank(name, rank)] if 1 < len(masks) == _ranks(e) and alike else None


def _rows_of_another(node: Node, e: Evidence) -> Iterable[Node]:
    """As many rows from where another rank begins, or exactly the other's."""
    count = node.options["end"] - node.options["begin"]
    others = [n.options for n in e.nodes if SHARD(n, e) and n.inputs == node.inputs]
    m = max(o["end"] for o in others)
    for o in others:
        if o["begin"] != node.options["begin"]:
            for end in dict.fromkeys((o["begin"] + count, o["end"])):
                if end <= m:
                    yield replace(node, options={"begin": o["begin"], "end": end})


def _samples(node: Node, e: Evidence) -> bool:
    return SHARD(node, e) and node.inputs[0] in ("x", "y")


def _penalty_in_own_gradient(node: Node, e: Evidence) -> Iterable[Node]:
    """Each rank's dW carries the whole penalty; a sum over the ranks then carries it N times."""
    penalty = e.penalty()
    if penalty is None or _ranks(e) == 1 or not _sums(e):
        return []
    n, at = len(node.inputs), node.outputs.index(of_parameters(node)[0])

    def formula(f: Any, *inputs: Any) -> Any:
        made = f[node.operation](*inputs[:n])
        many = list(made) if isinstance(made, tuple) else [made]
        many[at] = f["penalty_backward"](many[at], inputs[n], **penalty)
        return tuple(many)

    assert node.forward is not None
    return [read_also(node, formula, node.forward.inputs[1])]


def _penalty_in_own_loss(node: Node, e: Evidence) -> Iterable[Node]:
    penalty = e.penalty()
    if penalty is None or _ranks(e) == 1 or not _sums(e):
        return []

    def formula(f: Any, output: Any, y: Any, *weights: Any, reduction: str) -> Any:
        return f[node.operation](output, y, reduction=reduction) + f["penalty"](*weights, **penalty)

    penalties = (n for n in e.nodes if n.operation == "penalty" and rank_of(n) == rank_of(node))
    weights = next(penalties).inputs
    return [read_also(node, formula, *weights)]


def _not_again(node: Node, e: Evidence) -> Iterable[Node]:
    """The penalty is in dW_loss already."""
    return by(lambda f, dW, W, **options: dW * 1)(node, e) if _sums(e) else []


_IN_OWN_GRADIENT = (
    Effect(PARAMETERS, _penalty_in_own_gradient),
    Effect(GRADIENT, _not_again),
)


def _rate_times_ranks(node: Node, e: Evidence) -> Iterable[Node]:
    ranks = _ranks(e)
    if ranks == 1:
        return []
    return [replace(node, options={**node.options, "lr": node.options["lr"] * ranks})]


CAUSES = (
    Cause(
        "mean_of_means",
        "The ranks' means are averaged as if all had equally many rows.",
        "dW = sum(m_r / m * dW_r)",
        "bucket.buffer().mul_(m_r / m), then all_reduce(SUM): DDP's own mean needs even shards",
        _reduced_by(_plain_mean("mean")),
    ),
    Cause(
        "summed_over_ranks",
        "The ranks' gradients are added up where the loss is a mean: they are N times too large.",
        "dW = sum(m_r / m * dW_r)",
        "dist.all_reduce(p.grad)  # after p.grad *= m_r / m: the sum alone is N times too large",
        _reduced_by(_plain_sum),
    ),
    Cause(
        "sum_averaged_over_ranks",
        "The ranks' gradients are averaged where the loss is a sum: they are N times too small.",
        "dW = sum(dW_r)  # reduction is sum",
        "(loss * world_size).backward()  # DDP divides by world_size",
        _reduced_by(_plain_mean("sum")),
    ),
    Cause(
        "not_reduced",
        "The gradients are never all-reduced: each rank trains on its own rows alone.",
        "dW = all_reduce([dW_0, dW_1, ...], weights)",
        "DistributedDataParallel(net)(x)  # not net(x), and outside no_sync()",
        _reduced_by(_own_alone),
    ),
    Cause(
        "penalty_on_every_rank",
        "The penalty is counted once a rank: N times.",
        "dW = all_reduce(...) + lambd / m * W  # after the reduction, once",
        "SGD(..., weight_decay=lambd / m)  # m of all ranks' rows together",
        (
            *scaled_everywhere(lambda node, e: float(_ranks(e))),
            _IN_OWN_GRADIENT,
            (Effect(is_loss, _penalty_in_own_loss), *_IN_OWN_GRADIENT),
        ),
    ),
    Cause(
        "same_mask_on_every_rank",
        "Every rank drew its dropout mask from the same seed.",
        "mask_r = mask[begin:end]  # of the whole batch's mask",
        "torch.manual_seed(seed + rank)  # or take the rank's rows of one mask",
        (one(_first_rows, SHARD),),
    ),
    Cause(
        "overlapping_shards",
        "A rank works on another rank's rows: some samples count twice, others not at all.",
        "x_r, y_r = x[begin_r:end_r], y[begin_r:end_r]",
        "DataLoader(data, sampler=DistributedSampler(data))",
        (one(_rows_of_another, _samples),),
    ),
    Cause(
        "rate_times_ranks",
        "The learning rate is multiplied by the number of ranks.",
        "W = W - lr * dW  # dW is that of all ranks' rows already",
        "SGD(..., lr=lr)  # not lr * world_size, unless batch and schedule were made for it",
        (one(_rate_times_ranks, UPDATE),),
    ),
)
