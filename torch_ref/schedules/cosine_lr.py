"""Cosine with warm-up in torch, as a factor of the learning rate for each step.

SequentialLR of LinearLR and CosineAnnealingLR is the same, up to rounding: these compute each
learning rate from the one before.
"""

from math import cos, pi

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def cosine_lr(optimizer: Optimizer, steps: int, warmup: int) -> LambdaLR:
    """lr_t = lr * (t + 1) / (warmup + 1), and after the warm-up
    lr_t = lr * (1 + cos(pi (t - warmup) / (steps - warmup))) / 2"""

    def factor(t: int) -> float:
        if t < warmup:
            return (t + 1) / (warmup + 1)
        return 0.5 * (1 + cos(pi * (t - warmup) / (steps - warmup)))

    return LambdaLR(optimizer, factor)
