"""Step decay: the learning rate falls by the same factor at regular intervals.

Source: course 2 week 2, "learning rate decay"; torch.optim.lr_scheduler.StepLR.
"""

import numpy as np


def step_lr(lr: np.ndarray, t: np.ndarray, *, step_size: int, gamma: float) -> np.ndarray:
    """lr_t = lr * gamma^floor(t / step_size)                   # [], [] of int -> []

    t is the number of steps done: 0 in the first one.
    """
    return lr * np.full_like(lr, gamma) ** (int(t) // step_size)
