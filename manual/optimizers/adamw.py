"""AdamW: Adam, with weights that decay on their own: the decay does not pass through the moments.

In Adam an L2 penalty is part of the gradient, so the division by sqrt(s) takes most of it away
where gradients are large. Here every weight shrinks by the same share of itself in a step. Biases
and norms do not decay (models/step.py); torch says so by parameter groups.

Source: Loshchilov and Hutter 2019, "Decoupled weight decay regularization"; torch.optim.AdamW.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torch_parity.manual.optimizers.adam import adam


def adamw(
    W: np.ndarray,
    dW: np.ndarray,
    v: np.ndarray,
    s: np.ndarray,
    t: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W' = Adam's step from W * (1 - lr * weight_decay)         # any shape -> W', v', s'"""
    return adam(W * (1 - lr * weight_decay), dW, v, s, t, lr, beta1, beta2, eps)


@dataclass(frozen=True)
class AdamW:
    """adamw with its constants; its state is v, s and the number of steps."""

    lr: float
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.01
    slots: ClassVar[tuple[str, ...]] = ("t", "v", "s")

    def initial(self, W: np.ndarray) -> tuple[np.ndarray, ...]:
        """t = 0, v = 0, s = 0; t is kept per parameter, as in torch."""
        return np.asarray(0), np.zeros_like(W), np.zeros_like(W)

    def update(
        self, W: np.ndarray, dW: np.ndarray, t: np.ndarray, v: np.ndarray, s: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """-> W', t', v', s'"""
        t = t + 1
        constants = self.lr, self.beta1, self.beta2, self.eps, self.weight_decay
        W, v, s = adamw(W, dW, v, s, int(t), *constants)
        return W, np.asarray(t), v, s
