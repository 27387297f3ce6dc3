"""`parity faults`: list the known mistakes, or plant one and show how the judge finds it."""

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape

from torch_parity.compare import data, threads
from torch_parity.compare.case import Case
from torch_parity.compare.causes import ALONE, CATALOGUE, distributed, sums
from torch_parity.compare.causes.cause import Cause
from torch_parity.compare.causes.plant import execute, only_by_hand, plant
from torch_parity.compare.errors import InputError, suggest
from torch_parity.compare.judge.judge import Judgement, Side
from torch_parity.compare.register import OPERATIONS
from torch_parity.compare.show.terminal import show_judgement
from torch_parity.compare.sources import one_operation, pair
from torch_parity.compare.sources.recorded import Both, Recorded, record, record_sharded

ROWS = (5, 4, 3)  # of each rank, for the mistakes that need ranks: a batch of _cases, unevenly

COURSE = ("tanh", "relu", "sigmoid", "leaky_relu")


@dataclass(frozen=True)
class Planted:
    """A planted mistake: into what, in words, the side, and the judgement of the step."""

    into: str
    side: Side
    judgement: Judgement


def show(console: Console, name: str, side: Side) -> None:
    """Plant one mistake and print what the judge finds.

    Raises:
        InputError: there is no cause of that name.
    """
    if name not in CATALOGUE:
        raise InputError(f"no known mistake {name!r}: {suggest(name, CATALOGUE)}")
    cause = CATALOGUE[name]
    with threads.limited(1):
        found = demonstrate(cause, side)
    console.print(f"[bold]{name}[/]: {escape(cause.sentence)}\n")
    console.print(
        f"Planted on the {side} side of {escape(found.into)}. The judge does not know this. Its "
        "report:\n",
        highlight=False,
    )
    show_judgement(console, found.judgement, wrong_only=True)
    said = " or ".join("+".join(sorted(names)) for names in found.judgement.diagnoses[side].names)
    console.print(f"\nPlanted: {name}. Found: {said}.", highlight=False)


def demonstrate(cause: Cause, side: Side) -> Planted:
    """The first of a list of small cases in which the mistake shows, and its judgement."""
    if cause in ALONE:
        return _demonstrate_alone(cause, side)
    rows = ROWS if cause in distributed.CAUSES else ()
    model = "residual" if cause in sums.CAUSES else "mlp"
    for case in _cases(cause, model):
        layers = (None, *({k} for k in range(1, 2 * len(case.hidden) + 1)))
        for way, where in itertools.product(range(len(cause.ways)), layers):
            step = _third_step(case, rows)
            judgement = judge_planted(cause, side, step, 2 * case.batch, case.seed, way, where)
            if judgement is not None:
                return Planted(_described(case, rows), side, judgement)
    raise AssertionError(f"no small case shows {cause.name}")


def _demonstrate_alone(cause: Cause, side: Side) -> Planted:
    """In the first operation of the register in which the mistake shows, in a form that the side
    can have: torch's gradients follow the mistaken outputs that autograd reads."""
    for way, row in itertools.product(range(len(cause.ways)), OPERATIONS.values()):
        if row.kind not in one_operation.KINDS:
            continue
        for step in one_operation.alone(row):
            if side == "torch" and only_by_hand(cause, way, step.nodes):
                continue
            judgement = judge_planted(cause, side, step, 1, 0, way, None)
            if judgement is not None:
                options = ", ".join(f"{n}={v!r}" for n, v in step.nodes[0].options.items())
                return Planted(f"{row.name} alone ({options})", side, judgement)
    raise AssertionError(f"no operation shows {cause.name}")


def _described(case: Case, rows: tuple[int, ...]) -> str:
    on_ranks = f", on {len(rows)} ranks with {rows} rows" if rows else ""
    return (
        f"{case.data} ({case.model}, hidden {list(case.hidden)}, "
        f"{case.activation}, {case.loss}, {case.optimizer}, p={case.p:g}, L2={case.l2:g}, "
        f"L1={case.l1:g}, loss a {case.reduction}, {case.dtype}{on_ranks})"
    )


def _cases(cause: Cause, model: str) -> Iterator[Case]:
    """Small cases; one layer is as wide as the batch, so that a sum over the wrong axis runs."""
    activations = (cause.activation,) if cause.activation else COURSE
    for reduction, (data_set, loss) in itertools.product(
        ("mean", "sum"),
        (
            ("digits", "cross_entropy"),
            ("breast-cancer", "binary_cross_entropy"),
            ("moons", "binary_cross_entropy_with_logits"),
            ("digits", "mse_loss"),
        ),
    ):
        for activation, optimizer, p in itertools.product(
            activations, ("momentum", "adam"), (0.3, 0.0)
        ):
            yield Case.model_validate(
                {
                    "model": model,
                    "branch_scale": 0.5,
                    "data": data_set,
                    "loss": loss,
                    "reduction": reduction,
                    "hidden": (16, 12),
                    "activation": activation,
                    "optimizer": optimizer,
                    "p": p,
                    "batch": 12,
                    "bias_scale": 0.3,
                    "samples": 60,
                    "dtype": cause.dtype,
                    **cause.case,
                }
            )


def judge_planted(
    cause: Cause,
    side: Side,
    step: Both,
    batch: int,
    seed: int,
    way: int,
    layers: set[int] | None,
) -> Judgement | None:
    """The judgement of the step with the mistake; None where it does not show there."""
    known = step.known_to(side, batch)
    rng = np.random.default_rng(seed)
    wrong = plant(cause, step.nodes, known, step.trace(side), rng, way, layers)
    if wrong is None:
        return None
    try:
        judgement = step.judge_instead(side, execute(wrong, known, side), batch)
    except (ValueError, RuntimeError):
        return None  # the mistake cannot run with the shapes of this case
    return judgement if not judgement.passed and judgement.diagnoses else None


@functools.cache
def _third_step(case: Case, rows: tuple[int, ...]) -> Recorded:
    """The third step: the first hides mistakes in momentum, Adam's t and stale gradients."""
    loaded = data.load(case)
    sides = pair.build(case, loaded)
    x, y = loaded.x_train[: case.batch], sides.targets.y_train[: case.batch]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(case.seed)
        if rows:
            return record_sharded(sides, x, y, rows, count=3)[-1]
        return record(sides, x, y, count=3)[-1]
