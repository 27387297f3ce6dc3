"""A step of both sides, recorded from the same start: what the judge judges."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from torch_parity import manual
from torch_parity.compare.causes.plant import execute
from torch_parity.compare.flow.nodes import Node, active_masks
from torch_parity.compare.flow.sharded import of_all_ranks, sharded_flow
from torch_parity.compare.judge.judge import Judgement, Side, judge
from torch_parity.compare.sources.pair import Pair
from torch_parity.manual.models.step import Tensors


@dataclass(frozen=True)
class Both:
    """What both sides made of the same start; nodes is what they should have computed."""

    nodes: tuple[Node, ...]
    start: Tensors
    manual: Tensors
    torch: Tensors

    def trace(self, side: Side) -> Tensors:
        """What this side recorded."""
        return self.manual if side == "manual" else self.torch

    def known_to(self, side: Side, batch: int) -> Tensors:
        """The start, with what only some mistakes need: the full batch size, the other's trace."""
        other = self.trace("torch" if side == "manual" else "manual")
        also = {f"other_{name}": a for name, a in other.items()}
        return {**self.start, "batch": np.asarray(batch), **also}

    def judge_instead(self, side: Side, trace: Tensors, batch: int) -> Judgement:
        """The judgement if this side had recorded another trace."""
        traces: dict[Side, Tensors] = {"manual": self.manual, "torch": self.torch, side: trace}
        start = {**self.start, "batch": np.asarray(batch)}
        return judge(self.nodes, start, traces["manual"], traces["torch"], always_replay=True)


@dataclass(frozen=True)
class Recorded(Both):
    """A step of a pair. start holds x, y, parameters, optimizer state, masks, and previous_dW1...
    of the step before."""

    pair: Pair


def record(pair: Pair, x: np.ndarray, y: np.ndarray, count: int) -> list[Recorded]:
    """Some steps on one batch, each from torch's state: the first hides momentum and Adam's t.

    Raises:
        ArithmeticError: the numbers do not stay finite, so there is nothing to judge.
    """
    at = (pair.params, pair.state)
    before: Tensors = {}
    recorded = []
    for done in range(count):
        lr = pair.torch.lr
        by_torch, masks = pair.torch.step(x, y)
        if "loss" not in by_torch or not all(np.isfinite(a).all() for a in by_torch.values()):
            raise ArithmeticError("the steps do not stay finite")
        with np.errstate(over="ignore", invalid="ignore"):
            by_hand = pair.manual.step(*at, x, y, masks, done, lr)
        start = {**pair.manual.batch(x, y), **at[0], **at[1], **masks, **before}
        if pair.schedule:
            start |= pair.schedule.given(done)
        nodes = pair.manual.nodes(bool(active_masks(masks)), len(x), lr)
        recorded.append(Recorded(nodes, start, by_hand, by_torch, pair))
        at = ({n: by_torch[n] for n in at[0]}, {n: by_torch[n] for n in at[1]})
        before = previous(by_torch, pair)
    return recorded


def previous(by_torch: Tensors, pair: Pair) -> Tensors:
    """The gradients of a step, as what the next one began with, should they not be cleared."""
    names = pair.manual.net.names
    gradients = {names.gradient(n) for n in pair.params} | {
        names.loss_gradient(n) for n in pair.params
    }
    return {f"previous_{n}": a for n, a in by_torch.items() if n in gradients}


def record_sharded(
    pair: Pair, x: np.ndarray, y: np.ndarray, rows: Sequence[int], count: int
) -> list[Recorded]:
    """As record, with the batch on len(rows) ranks, rank r with the next rows[r] of it.

    torch's side runs its own arithmetic node by node; ranks.py judges real ranks.
    """
    net, optimizer = pair.manual.net, pair.manual.optimizer
    params, state = pair.params, pair.state
    recorded = []
    for _ in range(count):
        _, masks = pair.torch.step(x, y)
        nodes = sharded_flow(net, optimizer, masks, rows)
        by_hand = manual.sharded_step(net, optimizer, params, state, x, y, masks, rows)
        given = of_all_ranks([params | state] * len(rows))
        start = {"x": x, "y": y, **masks, **given}
        made = of_all_ranks(by_hand)
        recorded.append(Recorded(nodes, start, made, execute(nodes, start, "torch"), pair))
        params, state = ({n: by_hand[0][n] for n in kept} for kept in (params, state))
    return recorded
