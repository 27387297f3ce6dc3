"""RMSprop: divide each gradient by the root of the running average of its square, so that steep and
flat directions take steps of like size.

Epsilon is outside the root, as in torch. (TensorFlow's and Keras' have it inside: where gradients
are small, that is another result.)

Source: course 2 week 2, "RMSprop"; Tieleman and Hinton 2012; torch.optim.RMSprop.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


def rmsprop(
    W: np.ndarray,
    dW: np.ndarray,
    s: np.ndarray,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
) -> tuple[np.ndarray, np.ndarray]:
    """s' = alpha s + (1 - alpha) dW^2;  W' = W - lr * dW / (sqrt(s') + eps)   # any shape -> W', s'

    The course calls alpha beta.
    """
    s = alpha * s + (1 - alpha) * dW**2
    return W - lr * dW / (np.sqrt(s) + eps), s


@dataclass(frozen=True)
class RMSprop:
    """rmsprop with its constants; its state is s."""

    lr: float
    alpha: float = 0.99
    eps: float = 1e-8
    slots: ClassVar[tuple[str, ...]] = ("s",)

    def initial(self, W: np.ndarray) -> tuple[np.ndarray, ...]:
        """s = 0"""
        return (np.zeros_like(W),)

    def update(self, W: np.ndarray, dW: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, ...]:
        """-> W', s'"""
        return rmsprop(W, dW, s, self.lr, self.alpha, self.eps)
