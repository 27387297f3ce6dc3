"""Momentum: step along a running average of the gradients, so that zigzags cancel.

There are two conventions. torch adds the gradients (v grows to dW / (1 - momentum)); the course
averages them. They take the same path if the course's lr is 1 / (1 - beta) times torch's.

Source: course 2 week 2, "gradient descent with momentum"; torch.optim.SGD(momentum=...).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


def momentum(
    W: np.ndarray, dW: np.ndarray, v: np.ndarray, lr: float, momentum: float = 0.9
) -> tuple[np.ndarray, np.ndarray]:
    """v' = momentum * v + dW;  W' = W - lr * v'                # torch; any shape -> W', v'"""
    v = momentum * v + dW
    return W - lr * v, v


def momentum_course(
    W: np.ndarray, dW: np.ndarray, v: np.ndarray, lr: float, beta: float = 0.9
) -> tuple[np.ndarray, np.ndarray]:
    """v' = beta * v + (1 - beta) * dW;  W' = W - lr * v'       # course; any shape -> W', v'"""
    v = beta * v + (1 - beta) * dW
    return W - lr * v, v


@dataclass(frozen=True)
class Momentum:
    """momentum (torch's convention) with its constants; its state is v."""

    lr: float
    momentum: float = 0.9
    slots: ClassVar[tuple[str, ...]] = ("v",)

    def initial(self, W: np.ndarray) -> tuple[np.ndarray, ...]:
        """v = 0"""
        return (np.zeros_like(W),)

    def update(self, W: np.ndarray, dW: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, ...]:
        """-> W', v'"""
        return momentum(W, dW, v, self.lr, self.momentum)


@dataclass(frozen=True)
class MomentumCourse:
    """momentum_course (the course's convention) with its constants; its state is v."""

    lr: float
    beta: float = 0.9
    slots: ClassVar[tuple[str, ...]] = ("v",)

    def initial(self, W: np.ndarray) -> tuple[np.ndarray, ...]:
        """v = 0"""
        return (np.zeros_like(W),)

    def update(self, W: np.ndarray, dW: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, ...]:
        """-> W', v'"""
        return momentum_course(W, dW, v, self.lr, self.beta)
