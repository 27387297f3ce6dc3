"""Rows of the losses, and of the penalty on weights."""

from collections.abc import Callable
from typing import Any

from torch_parity import manual
from torch_parity.compare.register.row import Operation
from torch_parity.compare.register.samples import (
    Draw,
    normal,
    probabilities_and_bits,
    scores_and_bits,
    scores_and_classes,
)
from torch_parity.compare.register.twins import penalty_twin
from torch_parity.manual.recording import input_names


def _loss(forward: Callable[..., Any], module: str, samples: Draw) -> Operation:
    of = input_names(forward)[0]
    reductions = tuple({"reduction": r} for r in ("mean", "sum", "batchmean"))
    return Operation(forward, "loss", samples, (of,), ("loss",), reductions, module=module)


ROWS = (
    _loss(manual.binary_cross_entropy, "BCELoss", probabilities_and_bits),
    _loss(manual.binary_cross_entropy_with_logits, "BCEWithLogitsLoss", scores_and_bits),
    _loss(manual.cross_entropy, "CrossEntropyLoss", scores_and_classes),
    _loss(manual.mse_loss, "MSELoss", normal(a=(6, 3), y=(6, 3))),
    Operation(
        manual.penalty, "penalty", normal(weights=(4, 7)), ("weights",), ("penalty",),
        ({"l1": 0.0, "l2": 0.7, "m": 11}, {"l1": 0.4, "l2": 0.0, "m": 11}), torch=penalty_twin,
    ),
)  # fmt: skip
