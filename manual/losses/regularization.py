"""Penalties: make large weights cost something, so that the network stays smooth.

m is explicit and fixed for a whole training run (the size of the training set): then L2 under plain
gradient descent is exactly torch's weight_decay = lambd / m, on weights only.

Source: course 2 week 1, "regularization"; torch.optim.SGD(weight_decay=...).
"""

from collections.abc import Iterable

import numpy as np

from torch_parity.manual.recording import operation


def l2_penalty(weights: Iterable[np.ndarray], lambd: float, m: float) -> np.ndarray:
    """penalty = lambd / (2 m) * sum of W^2 over all weights    # [out, in]... -> []"""
    return lambd / (2 * m) * sum((W * W).sum() for W in weights)


def l2_penalty_backward(W: np.ndarray, lambd: float, m: float) -> np.ndarray:
    """dW = lambd / m * W                                       # [out, in] -> [out, in]"""
    return lambd / m * W


def l1_penalty(weights: Iterable[np.ndarray], lambd: float, m: float) -> np.ndarray:
    """penalty = lambd / (2 m) * sum of |W| over all weights    # [out, in]... -> []"""
    return lambd / (2 * m) * sum((W * np.sign(W.real)).sum() for W in weights)


def l1_penalty_backward(W: np.ndarray, lambd: float, m: float) -> np.ndarray:
    """dW = lambd / (2 m) * sign(W), with sign(0) = 0 as in torch   # [out, in] -> [out, in]"""
    return lambd / (2 * m) * np.sign(W)


@operation
def penalty(*weights: np.ndarray, l1: float, l2: float, m: float) -> np.ndarray:
    """penalty = l1_penalty + l2_penalty of all weights together    # [out, in]... -> []"""
    return l1_penalty(weights, l1, m) + l2_penalty(weights, l2, m)


def penalty_backward(
    dW: np.ndarray, W: np.ndarray, *, l1: float, l2: float, m: float
) -> np.ndarray:
    """dW of the cost, from dW of the loss alone: dW + (dW of L1 + dW of L2)"""
    return dW + (l1_penalty_backward(W, l1, m) + l2_penalty_backward(W, l2, m))
