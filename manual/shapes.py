"""Check shapes that NumPy would broadcast: (m,) with (m, 1) gives a wrong result and no error."""

import numpy as np


def require_shape(function: str, name: str, array: np.ndarray, expected: tuple[int, ...]) -> None:
    """Raise ValueError unless `array` has exactly the shape `expected`."""
    if array.shape != expected:
        raise ValueError(
            f"{function}: {name} has shape {array.shape}, expected {expected}; "
            "reshape it (this function does not broadcast)"
        )
