"""Rows of the losses, and of the penalty on weights."""

from collections.abc import Callable, Mapping
from itertools import cycle
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
from torch_parity.compare.register.twins import cross_entropy_twin, penalty_twin
from torch_parity.manual.recording import input_names

REDUCTIONS = ("mean", "sum", "batchmean")


def _loss(
    forward: Callable[..., Any],
    module: str,
    samples: Draw,
    *options: Mapping[str, Any],
    torch: Callable[..., Callable[..., Any]] | None = None,
) -> Operation:
    """A loss with each reduction; one with options with each of these, and a reduction in turn."""
    of = tuple(name for name in input_names(forward) if name != "y")
    given = options or ({},) * len(REDUCTIONS)
    each = tuple({"reduction": r, **o} for r, o in zip(cycle(REDUCTIONS), given, strict=False))
    return Operation(forward, "loss", samples, of, ("loss",), each, module=module, torch=torch)


CLASS_WEIGHTS = (0.5, 2.0, 1.3, 0.25, 3.0)
NUMBERS = normal(a=(6, 3), y=(6, 3))


def _entropies(weight: tuple[float, ...] | None, ignore_index: int, smoothing: float) -> Any:
    return {"weight": weight, "ignore_index": ignore_index, "label_smoothing": smoothing}


ROWS = (
    _loss(manual.binary_cross_entropy, "BCELoss", probabilities_and_bits),
    _loss(manual.binary_cross_entropy_with_logits, "BCEWithLogitsLoss", scores_and_bits),
    _loss(
        manual.cross_entropy, "CrossEntropyLoss", scores_and_classes,
        _entropies(None, -100, 0.0), _entropies(CLASS_WEIGHTS, -100, 0.0),
        _entropies(None, 2, 0.3), _entropies(CLASS_WEIGHTS, 2, 0.1),
        {"reduction": "mean", **_entropies(None, 1, 0.0)},
        torch=cross_entropy_twin,
    ),
    _loss(
        manual.multi_margin_loss, "MultiMarginLoss", scores_and_classes,
        *({"margin": margin} for margin in (1.0, 5.0)),
    ),
    _loss(manual.mse_loss, "MSELoss", NUMBERS),
    _loss(manual.l1_loss, "L1Loss", NUMBERS, {}),
    _loss(
        manual.smooth_l1_loss, "SmoothL1Loss", NUMBERS,
        *({"beta": beta} for beta in (0.3, 2.5)),
    ),
    _loss(
        manual.huber_loss, "HuberLoss", NUMBERS,
        *({"delta": delta} for delta in (0.3, 2.5)),
    ),
    _loss(
        manual.triplet_margin_loss, "TripletMarginLoss",
        normal(anchor=(6, 4), positive=(6, 4), negative=(6, 4)),
        *({"margin": margin, "eps": eps, "swap": swap}
          for margin, eps, swap in ((1.0, 1e-6, False), (2.7, 1e-3, True))),
    ),
    Operation(
        manual.penalty, "penalty", normal(weights=(4, 7)), ("weights",), ("penalty",),
        ({"l1": 0.0, "l2": 0.7, "m": 11}, {"l1": 0.4, "l2": 0.0, "m": 11}), torch=penalty_twin,
    ),
)  # fmt: skip
