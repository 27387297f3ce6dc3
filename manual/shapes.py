"""Refuse what NumPy would broadcast: (m,) against (m, 1) is a wrong number, not an error, unless
somebody looks."""

import numpy as np


def require_shape(function: str, name: str, array: np.ndarray, expected: tuple[int, ...]) -> None:
    """Raise ValueError unless `array` has exactly the shape `expected`."""
    if array.shape != expected:
        raise ValueError(
            f"{function}: {name} has shape {array.shape}, expected {expected}; "
            "reshape it, nothing is broadcast here"
        )
