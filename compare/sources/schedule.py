"""The learning rate of each step, on both sides: one more thing that a step makes and the judge
judges.

torch's own scheduler says what a step's learning rate is, and both sides take the judged step with
that one; the learning rate itself is judged by the formula, from the number of steps done.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
import torch

from torch_parity.compare.bounds.precision import all_widened
from torch_parity.compare.case import Case
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register import OPTIMIZERS, SCHEDULES
from torch_parity.manual.models.step import Tensors
from torch_parity.manual.recording import option_names

LR, BASE, DONE = "lr", "base_lr", "steps_done"


@dataclass(frozen=True)
class Schedule:
    """base is the learning rate that the schedule changes, dtype what it is judged in."""

    name: str
    options: Mapping[str, Any]
    base: float
    dtype: str

    def at(self, done: int) -> float:
        """The learning rate after so many steps, by hand."""
        return float(SCHEDULES[self.name](np.asarray(self.base), np.asarray(done), **self.options))

    def given(self, done: int) -> Tensors:
        """What a step's learning rate is computed from."""
        return {BASE: np.asarray(self.base, self.dtype), DONE: np.asarray(done)}

    def recorded(self, done: int) -> Tensors:
        """The learning rate by hand, from what is given; halves are computed with in float32."""
        base, steps = all_widened(self.given(done)).values()
        return {LR: np.asarray(SCHEDULES[self.name](base, steps, **self.options), base.dtype)}

    def nodes(self, nodes: Sequence[Node], lr: float) -> tuple[Node, ...]:
        """The nodes of a step with this learning rate, and the one that makes it."""
        own = Node(self.name, (BASE, DONE), (LR,), self.options)
        return (own, *(with_lr(n, lr) if n.operation in OPTIMIZERS else n for n in nodes))

    def in_torch(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        """torch's scheduler for this optimizer."""
        home = import_module(f"torch_parity.torch_ref.schedules.{self.name}")
        made: torch.optim.lr_scheduler.LRScheduler = getattr(home, self.name)(
            optimizer, **self.options
        )
        return made


def schedule_of(case: Case) -> Schedule | None:
    """None where the learning rate is constant."""
    if case.schedule == "constant":
        return None
    options = {n: getattr(case, n) for n in option_names(SCHEDULES[case.schedule])}
    return Schedule(case.schedule, options, case.lr, case.dtype)


def can_be_longer(case: Case) -> bool:
    """Whether the first steps of a longer training are the same: a learning rate that falls until
    the last step would fall more slowly."""
    schedule = schedule_of(case)
    return schedule is None or "steps" not in schedule.options


def with_lr(node: Node, lr: float) -> Node:
    """An update with another learning rate."""
    return replace(node, options={**node.options, "lr": lr})
