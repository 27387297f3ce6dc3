"""The loss of connectionist temporal classification: torch's lies within its bound, and so does one
written by hand; one with a mistake does not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.small_models import Applied
from torch_parity.compare.aten.check import check_modules
from torch_parity.compare.bounds.tensors import replay_call

ATEN = torch.ops.aten
DTYPES = [torch.float32, torch.float64]
SEED = 23


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("sizes", [(6, 2, 4, 2), (12, 4, 5, 4), (40, 3, 8, 10), (3, 3, 4, 5)])
def test_torchs_loss_and_gradient_lie_within_their_bounds(
    sizes: tuple[int, ...], zero_infinity: bool, dtype: torch.dtype
) -> None:
    """Also of targets that are too long, empty, or end to end; no bound allows for a thousandth."""
    steps, batch, classes, symbols = sizes
    torch.manual_seed(SEED)
    y = torch.randn(steps, batch, classes, dtype=dtype).log_softmax(-1)
    times = [steps, steps - 1, steps - 2, steps][:batch]
    lengths = [symbols, symbols - 1, 0, symbols - 1][:batch]
    targets = torch.randint(0, classes - 1, (batch, symbols))
    joined = torch.cat([row[:n] for row, n in zip(targets, lengths, strict=True)])
    blank, grad = classes - 1, torch.randn(batch, dtype=dtype)
    for given in (targets, joined):
        args = (y, given, times, lengths, blank, zero_infinity)
        loss, alpha = ATEN._ctc_loss.default(*args)
        back = (grad, *args[:4], loss, alpha, blank, zero_infinity)
        slope = ATEN._ctc_loss_backward.default(*back)
        bounds = (
            replay_call(ATEN._ctc_loss.default, args, {})[0].bounded,
            replay_call(ATEN._ctc_loss_backward.default, back, {})[0].bounded,
        )
        for seen, b in zip((loss, slope), bounds, strict=True):
            numbers = seen.double().numpy().astype(b.value.dtype)
            with np.errstate(invalid="ignore"):
                gap = np.abs(numbers - b.value)
            same = (numbers == b.value) | (np.isnan(numbers) & np.isnan(b.value))
            assert (same | (gap <= b.error)).all(), f"seed {SEED}"
        finite = np.isfinite(bounds[0].value)
        room = bounds[0].error[finite].max(initial=0.0)
        assert room < 3000 * steps * torch.finfo(dtype).eps, room


def ctc(y: Tensor, targets: Tensor, blank: int = 0, again: bool = True, ends: int = 2) -> Tensor:
    """By hand, of one sequence. Without again: a symbol that is repeated needs no blank; with one
    end: it has to end in a blank."""
    labels = [blank]
    for symbol in targets.tolist():
        labels += [symbol, blank]
    alpha: list[Any] = [y[0, labels[0]], y[0, labels[1]]] + [None] * (len(labels) - 2)
    for t in range(1, len(y)):
        made: list[Any] = []
        for s, symbol in enumerate(labels):
            ways = [alpha[s], alpha[s - 1] if s else None]
            other = s > 1 and (symbol != labels[s - 2] or not again)
            ways.append(alpha[s - 2] if symbol != blank and other else None)
            known = [w for w in ways if w is not None]
            made.append(torch.stack(known).logsumexp(0) + y[t, symbol] if known else None)
        alpha = made
    return -torch.stack(alpha[-ends:]).logsumexp(0)


TARGETS = torch.tensor([1, 2, 2])


def by_hand(**options: Any) -> Callable[..., Tensor]:
    return lambda m, x: ctc(m.fc(x).log_softmax(1), TARGETS, **options)


def by_torch(**options: Any) -> Callable[..., Tensor]:
    def loss(m: Any, x: Tensor) -> Tensor:
        y = m.fc(x).log_softmax(1)[:, None]
        return F.ctc_loss(y, TARGETS[None], [len(x)], [3], reduction="sum", **options)

    return loss


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_loss_by_hand(dtype: torch.dtype) -> None:
    x = torch.randn(9, 5, generator=torch.Generator().manual_seed(SEED)).to(dtype)

    def outcome(f: Any, g: Any) -> str:
        a, b = Applied(f).to(dtype), Applied(g).to(dtype)
        return check_modules(a, b, x, loss=lambda out: out).outcome

    right = by_hand(), by_torch()
    for f in right:
        for g in right:
            assert outcome(f, g) == "PASS", f"seed {SEED}"
        for wrong in (
            by_hand(again=False),
            by_hand(ends=1),
            lambda m, x: ctc(m.fc(x), TARGETS),
            lambda m, x: by_torch()(m, x) / 3,
            lambda m, x: by_torch()(m, x.flip(0)),
        ):
            assert outcome(f, wrong) == outcome(wrong, f) == "FAIL", f"seed {SEED}"
