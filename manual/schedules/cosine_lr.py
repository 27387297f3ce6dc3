"""Cosine with warm-up: the learning rate rises along a line, then falls along half a cosine to 0.

The first step has 1 / (warmup + 1) of the learning rate: a first step of 0 would be lost.

Source: Loshchilov and Hutter 2017, "SGDR"; Goyal et al. 2017 (warm-up);
torch.optim.lr_scheduler.LinearLR and CosineAnnealingLR.
"""

import math

import numpy as np


def cosine_lr(lr: np.ndarray, t: np.ndarray, *, steps: int, warmup: int) -> np.ndarray:
    """lr_t = lr * (t + 1) / (warmup + 1) in the first `warmup` steps, after that
    lr_t = lr * (1 + cos(pi (t - warmup) / (steps - warmup))) / 2   # [], [] of int -> []

    t is the number of steps done: 0 in the first one.

    Raises:
        ValueError: the warm-up is not shorter than the training.
    """
    if not 0 <= warmup < steps:
        raise ValueError(f"cosine_lr: warmup is {warmup}, expected 0 to {steps - 1} of {steps}")
    done = int(t)
    if done < warmup:
        return lr * ((done + 1) / (warmup + 1))
    return lr * (0.5 * (1 + math.cos(math.pi * (done - warmup) / (steps - warmup))))
