"""Nesterov's momentum: take the gradient's step, and look ahead along the average of the steps.

The published form takes the gradient at W + momentum * v. torch and Sutskever's rewriting keep the
parameters at the point that is looked ahead to, so that the gradient is that of W itself.

Source: Nesterov 1983; Sutskever et al. 2013; torch.optim.SGD(nesterov=True).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


def nesterov(
    W: np.ndarray, dW: np.ndarray, v: np.ndarray, lr: float, momentum: float = 0.9
) -> tuple[np.ndarray, np.ndarray]:
    """v' = momentum * v + dW;  W' = W - lr * (dW + momentum * v')   # any shape -> W', v'"""
    v = momentum * v + dW
    return W - lr * (dW + momentum * v), v


@dataclass(frozen=True)
class Nesterov:
    """nesterov with its constants; its state is v."""

    lr: float
    momentum: float = 0.9
    slots: ClassVar[tuple[str, ...]] = ("v",)

    def initial(self, W: np.ndarray) -> tuple[np.ndarray, ...]:
        """v = 0"""
        return (np.zeros_like(W),)

    def update(self, W: np.ndarray, dW: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, ...]:
        """-> W', v'"""
        return nesterov(W, dW, v, self.lr, self.momentum)
