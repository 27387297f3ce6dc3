"""Mistakes in the schedule of the learning rate."""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from torch_parity.compare.causes.cause import Cause, Evidence, by, on, one
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register import SCHEDULES

SCHEDULE, COSINE = on(*SCHEDULES), on("cosine_lr")
DECAYING = {"schedule": "step_lr", "step_size": 2}  # in the third step it has decayed
RISING = {"schedule": "cosine_lr", "warmup": 5}
FALLING = {"schedule": "cosine_lr", "warmup": 1}


def _off_by(steps: int) -> Any:
    def change(node: Node, e: Evidence) -> Iterable[Node]:
        def formula(f: Any, lr: Any, done: Any, **options: Any) -> Any:
            return f[node.operation](lr, done + steps, **options)

        return [replace(node, formula=formula)]

    return change


def _without_warmup(node: Node, e: Evidence) -> Iterable[Node]:
    if not node.options["warmup"]:
        return []
    return [replace(node, options={**node.options, "warmup": 0})]


def _from_zero(node: Node, e: Evidence) -> Iterable[Node]:
    """t / warmup, whose first step has a learning rate of 0."""
    warmup, done = node.options["warmup"], int(e.known[node.inputs[1]])
    if done >= warmup:
        return []
    return [replace(node, formula=lambda f, lr, t, **options: lr * (done / warmup))]


def _over_all_steps(node: Node, e: Evidence) -> Iterable[Node]:
    """The cosine has run on since the first step, warm-up or not."""
    o, done = node.options, int(e.known[node.inputs[1]])
    if done < o["warmup"]:
        return []
    factor = 0.5 * (1 + math.cos(math.pi * done / o["steps"]))
    return [replace(node, formula=lambda f, lr, t, **options: lr * factor)]


CAUSES = (
    Cause(
        "schedule_one_step_off",
        "The learning rate is that of the step before, or of the next one.",
        "lr = schedule(t)  # t: the steps done, 0 in the first step",
        "optimizer.step(); scheduler.step()  # in this order, once a step",
        (one(_off_by(-1), SCHEDULE), one(_off_by(1), SCHEDULE)),
        case=RISING,
    ),
    Cause(
        "schedule_not_used",
        "The learning rate stays what it was at first.",
        "lr = schedule(t)  # in every step",
        "scheduler.step()  # after every optimizer.step()",
        (one(by(lambda f, lr, t, **options: lr * 1), SCHEDULE),),
        case=DECAYING,
    ),
    Cause(
        "warmup_missing",
        "The learning rate does not rise slowly at first: there is no warm-up.",
        "lr * (t + 1) / (warmup + 1)  # while t < warmup",
        "SequentialLR(optimizer, [LinearLR(...), CosineAnnealingLR(...)], milestones=[warmup])",
        (one(_without_warmup, COSINE),),
        case=RISING,
    ),
    Cause(
        "warmup_from_zero",
        "The warm-up begins at 0: the first step changes nothing.",
        "lr * (t + 1) / (warmup + 1)  # not t / warmup",
        "LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)",
        (one(_from_zero, COSINE),),
        case=RISING,
    ),
    Cause(
        "cosine_counts_the_warmup",
        "The cosine is taken over all steps, those of the warm-up as well.",
        "math.cos(math.pi * (t - warmup) / (steps - warmup))",
        "CosineAnnealingLR(optimizer, T_max=steps - warmup)",
        (one(_over_all_steps, COSINE),),
        case=FALLING,
    ),
)
