"""Inverted dropout: silence random units while training, and scale the rest so that the expected
activation stays what it is without dropout; evaluation then needs no change at all.

Source: course 2 week 1, "dropout regularization"; torch.nn.Dropout.
"""

import numpy as np

from torch_parity.manual.recording import operation
from torch_parity.manual.shapes import require_shape


def dropout_mask(
    rng: np.random.Generator, shape: tuple[int, ...], p: float, dtype: np.dtype | type = np.float64
) -> np.ndarray:
    """mask = 0 with probability p, else 1/(1-p)                # -> shape

    p is the probability to DROP; the course's keep_prob is 1 - p. E[mask] = 1 for every p.

    Raises:
        ValueError: p is outside [0, 1); at p = 1 nothing is left to scale.
    """
    if not 0 <= p < 1:
        raise ValueError(f"dropout_mask: p is {p}, expected 0 <= p < 1 (the probability to drop)")
    return (rng.random(shape) >= p).astype(dtype) / np.asarray(1 - p, dtype)


@operation
def dropout(a: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """h = a * mask                                             # [m, n], [m, n] -> [m, n]

    Raises:
        ValueError: the mask is not shaped like a.
    """
    require_shape("dropout", "mask", mask, a.shape)
    return a * mask


def dropout_backward(dh: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """da = dh * mask: the SAME mask, scale included            # [m, n], [m, n] -> [m, n]"""
    require_shape("dropout_backward", "mask", mask, dh.shape)
    return dh * mask
