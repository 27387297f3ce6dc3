"""What noise in the gradient does: that of a mini-batch, in a valley, and to Adam's steps."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from torch_parity import manual
from torch_parity.compare.case import Case
from torch_parity.compare.data import Data
from torch_parity.compare.judge.judge import Side
from torch_parity.compare.register import OPTIMIZERS
from torch_parity.compare.sources.schedule import schedule_of
from torch_parity.compare.tensors import to_numpy, to_torch
from torch_parity.torch_ref.trace import OPTIMIZERS as IN_TORCH

SMALL, DRAWS = (4, 16, 64), 1000  # batches whose gradients are compared
LR, STEPS, COPIES = 0.2, 160, 2000  # of the valley
SCHEDULES: dict[str, dict[str, object]] = {
    "constant": {"schedule": "constant"},
    "step": {"schedule": "step_lr", "step_size": 40, "gamma": 0.2},
    "cosine": {"schedule": "cosine_lr", "warmup": 20},
}
BETA = 0.9  # Adam's beta1
LATER = 60  # steps of Adam


def valley(side: Side, name: str, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lr of each step, and the mean of w^2 before each of them: w := w - lr (w + noise)

    # [steps, copies] -> [steps], [steps]
    """
    options = {**SCHEDULES[name], "optimizer": "sgd", "lr": LR, "steps": len(noise)}
    schedule = schedule_of(Case.model_validate(options))
    w = 2 * np.ones(noise.shape[1])
    rates, squares = [], []
    if side == "manual":
        for t, n in enumerate(noise):
            rates.append(schedule.at(t) if schedule else LR)
            squares.append(float(np.mean(w**2)))
            w = manual.sgd(w, w + n, rates[-1])
        return np.array(rates), np.array(squares)
    parameter = nn.Parameter(to_torch(w))
    optimizer = torch.optim.SGD([parameter], lr=LR)
    scheduler = schedule.in_torch(optimizer) if schedule else None
    for n in noise:
        rates.append(optimizer.param_groups[0]["lr"])
        squares.append(float(parameter.detach().square().mean()))
        parameter.grad = parameter.detach() + to_torch(n)
        optimizer.step()
        if scheduler:
            scheduler.step()
    return np.array(rates), np.array(squares)


def deviations(loaded: Data, side: Side, seed: int) -> dict[str, float]:
    """The deviation of a batch's gradient of logistic regression from that of all samples."""
    x, y = loaded.x_train, loaded.labels_train[:, None].astype(float)
    W, b = np.ones((1, 2)), np.zeros(1)
    rng = np.random.default_rng([seed, 22])
    whole = _gradient(side, x, y, W, b)
    found = {}
    for size in SMALL:
        drawn = (rng.integers(0, len(x), size) for _ in range(DRAWS))
        gaps = [_gradient(side, x[rows], y[rows], W, b) - whole for rows in drawn]
        found[f"noise/{size}/{side}"] = float(np.sqrt(np.mean(np.sum(np.square(gaps), axis=1))))
    return found


def _gradient(side: Side, x: np.ndarray, y: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
    """dW of one layer with a sigmoid, as a row."""
    if side == "manual":
        dz = manual.binary_cross_entropy_with_logits_backward(manual.linear(x, W, b), y)
        return manual.linear_backward(dz, x, W)[1][0]
    weight = nn.Parameter(to_torch(W))
    z = F.linear(to_torch(x), weight, to_torch(b))
    F.binary_cross_entropy_with_logits(z, to_torch(y)).backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None, "backward has just been called"
    return to_numpy(weight.grad)[0]


def steps_of_adam(side: Side, noise: np.ndarray) -> dict[str, float]:
    """The length of the first step and of a later one, as a share of lr, if noise is all there is:
    the root of the mean square over all copies."""
    W = np.zeros(noise.shape[1])
    moved = []
    if side == "manual":
        optimizer = OPTIMIZERS["adam"].by_hand(lr=LR, beta1=BETA)
        slots = optimizer.initial(W)
        for n in noise[: LATER + 1]:
            before = W
            W, *slots = optimizer.update(W, n, *slots)
            moved.append(W - before)
    else:
        parameter = nn.Parameter(to_torch(W))
        in_torch = IN_TORCH["adam"][0]([{"params": [parameter]}], lr=LR, beta1=BETA)
        for n in noise[: LATER + 1]:
            last = to_numpy(parameter.detach()).copy()
            parameter.grad = to_torch(n)
            in_torch.step()
            moved.append(to_numpy(parameter.detach()) - last)
    first, later = (float(np.sqrt(np.mean(m**2))) / LR for m in (moved[0], moved[-1]))
    return {f"adam/first/{side}": first, f"adam/later/{side}": later}
