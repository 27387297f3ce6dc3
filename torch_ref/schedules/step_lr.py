"""Step decay in torch."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import StepLR


def step_lr(optimizer: Optimizer, step_size: int, gamma: float) -> StepLR:
    """lr_t = lr * gamma^floor(t / step_size)"""
    return StepLR(optimizer, step_size, gamma)
