"""How the length of a gradient changes on its way back through many steps."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torch_parity import manual
from torch_parity.compare.judge.judge import Side
from torch_parity.compare.tensors import to_torch

N = 4  # units
LONG, FACTORS = 30, (0.5, 1.0, 1.5)  # steps; how much longer Wh makes a vector
FORGET = {"forgets": 0.0, "keeps": 4.0}  # the bias of an LSTM's forget gate


def through_time(seed: int, side: Side, factor: float) -> list[float]:
    """The length of dh, step by step back from the last, where tanh is nearly a line.

    Wh is a rotation times the factor: it makes every vector longer by the factor.
    """
    rng = np.random.default_rng([seed, 12])
    rotation = np.linalg.qr(rng.standard_normal((N, N)))[0]
    weights = (np.eye(N), factor * rotation, np.zeros(N), np.zeros(N))
    x = 1e-9 * rng.standard_normal((LONG, 1, N))
    dh = np.eye(1, N)
    if side == "torch":
        return _by_autograd(torch.rnn_tanh_cell, x, (np.zeros((1, N)),), weights, dh)
    states = [np.zeros((1, N))]
    for step in x:
        states.append(manual.rnn_cell(step, states[-1], *weights))
    lengths = [1.0]
    for step, h in zip(x[::-1], states[-2::-1], strict=True):
        dh = manual.rnn_cell_backward(dh, step, h, *weights)[1]
        lengths.append(float(np.linalg.norm(dh)))
    return lengths


def through_memory(seed: int, side: Side, forget: float) -> list[float]:
    """The length of the gradient of an LSTM's memory c, step by step back from the last."""
    rng = np.random.default_rng([seed, 13])
    bias = np.concatenate([np.zeros(N), np.full(N, forget), np.zeros(2 * N)])
    weights = (0.1 * rng.standard_normal((4 * N, N)), np.zeros((4 * N, N)), bias, np.zeros(4 * N))
    x = 1e-9 * rng.standard_normal((LONG, 1, N))
    dc, nothing = np.eye(1, N), np.zeros((1, N))
    if side == "torch":
        return _by_autograd(_lstm_memory_first, x, (nothing, nothing), weights, dc)
    states = [(nothing, nothing)]
    for step in x:
        states.append(manual.lstm_cell(step, *states[-1], *weights))
    lengths = [1.0]
    for step, (h, c) in zip(x[::-1], states[-2::-1], strict=True):
        dc = manual.lstm_cell_backward(nothing, dc, step, h, c, *weights)[2]
        lengths.append(float(np.linalg.norm(dc)))
    return lengths


def _lstm_memory_first(x: Tensor, c: Tensor, h: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
    h, c = torch.lstm_cell(x, (h, c), *weights)
    return c, h


def _by_autograd(
    cell: Callable[..., Any],
    x: np.ndarray,
    state: tuple[np.ndarray, ...],
    weights: tuple[np.ndarray, ...],
    last: np.ndarray,
) -> list[float]:
    """The lengths of the gradients of the first state of a cell at every step, by autograd."""
    now = tuple(to_torch(s).requires_grad_() for s in state)
    at, kept = [to_torch(w) for w in weights], [now[0]]
    for step in x:
        made = cell(to_torch(step), *now, *at)
        now = made if isinstance(made, tuple) else (made,)
        now[0].retain_grad()
        kept.append(now[0])
    kept[-1].backward(to_torch(last))  # type: ignore[no-untyped-call]
    return [float(h.grad.norm()) for h in reversed(kept) if h.grad is not None]
