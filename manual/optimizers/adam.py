"""Adam: momentum, with a separate step size for every weight.

The course and torch agree: both moments are averages, both are corrected for their start at 0, and
epsilon is outside the root. (The paper's "efficient" variant has it inside: a different result.)
An L2 penalty here goes through the gradient, as weight_decay does in torch.optim.Adam; AdamW's does
not.

Source: course 2 week 2, "Adam optimization algorithm"; Kingma and Ba 2015; torch.optim.Adam.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


def adam(
    W: np.ndarray,
    dW: np.ndarray,
    v: np.ndarray,
    s: np.ndarray,
    t: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """v' = beta1 v + (1 - beta1) dW;  s' = beta2 s + (1 - beta2) dW^2
    W' = W - lr * (v' / (1 - beta1^t)) / (sqrt(s' / (1 - beta2^t)) + eps)

    t counts steps from 1 and already includes this one.          # any shape -> W', v', s'
    """
    v = beta1 * v + (1 - beta1) * dW
    s = beta2 * s + (1 - beta2) * dW**2
    v_corrected = v / (1 - beta1**t)
    s_corrected = s / (1 - beta2**t)
    return W - lr * v_corrected / (np.sqrt(s_corrected) + eps), v, s


@dataclass(frozen=True)
class Adam:
    """adam with its constants; its state is v, s and the number of steps."""

    lr: float
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    slots: ClassVar[tuple[str, ...]] = ("t", "v", "s")

    def initial(self, W: np.ndarray) -> tuple[np.ndarray, ...]:
        """t = 0, v = 0, s = 0; t is kept per parameter, as in torch."""
        return np.asarray(0), np.zeros_like(W), np.zeros_like(W)

    def update(
        self, W: np.ndarray, dW: np.ndarray, t: np.ndarray, v: np.ndarray, s: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """-> W', t', v', s'"""
        t = t + 1
        W, v, s = adam(W, dW, v, s, int(t), self.lr, self.beta1, self.beta2, self.eps)
        return W, np.asarray(t), v, s
