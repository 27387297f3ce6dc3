"""The angles that tell a position: slow and fast clock hands, one for each pair of numbers."""

import numpy as np


def angles(x: np.ndarray, base: float) -> np.ndarray:
    """angle_ti = t / base^(2i / n)                             # [..., t, n] -> [t, n / 2]

    They are computed in x's own precision: a float32 angle of position 1000 is good to 1e-4.

    Raises:
        ValueError: n is odd.
    """
    t, n = x.shape[-2:]
    if n % 2:
        raise ValueError(f"positions: the last axis has {n} entries, expected an even number")
    count = np.zeros_like(x, shape=(t, 1)) + np.arange(t, dtype=x.dtype)[:, None]
    exponent = (np.zeros_like(x, shape=(n // 2,)) + np.arange(0, n, 2, dtype=x.dtype)) / n
    return count / base**exponent
