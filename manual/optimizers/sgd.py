"""Gradient descent: step against the gradient.

Source: course week 2, "gradient descent"; torch.optim.SGD.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


def sgd(W: np.ndarray, dW: np.ndarray, lr: float) -> np.ndarray:
    """W' = W - lr * dW                                         # any shape"""
    return W - lr * dW


@dataclass(frozen=True)
class SGD:
    """sgd with its learning rate; it has no state."""

    lr: float
    slots: ClassVar[tuple[str, ...]] = ()

    def initial(self, W: np.ndarray) -> tuple[np.ndarray, ...]:
        """No state."""
        return ()

    def update(self, W: np.ndarray, dW: np.ndarray) -> tuple[np.ndarray, ...]:
        """-> W'"""
        return (sgd(W, dW, self.lr),)
