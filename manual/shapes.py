"""Check shapes that NumPy would broadcast: (m,) with (m, 1) gives a wrong result and no error."""

import numpy as np


def require_shape(function: str, name: str, array: np.ndarray, expected: tuple[int, ...]) -> None:
    """Raise ValueError unless `array` has exactly the shape `expected`."""
    if array.shape != expected:
        raise ValueError(
            f"{function}: {name} has shape {array.shape}, expected {expected}; "
            "reshape it (this function does not broadcast)"
        )


def require_channels(
    function: str, x: np.ndarray, weight: np.ndarray, groups: int, channels: int
) -> None:
    """Raise ValueError unless weight is a kernel of so many groups, for images of `channels`."""
    if weight.ndim != 4 or groups < 1 or len(weight) % groups:
        raise ValueError(
            f"{function}: weight has shape {weight.shape}, expected four axes, the first of which "
            f"groups={groups} divides"
        )
    if x.ndim != 4 or x.shape[1] != channels:
        raise ValueError(
            f"{function}: input has shape {x.shape}, expected (m, {channels}, h, w) for a weight "
            f"of {weight.shape} with groups={groups}"
        )
