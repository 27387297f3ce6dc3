"""Shapes that NumPy broadcasts: refused where that is a mistake ((m,) with (m, 1) gives a wrong
result and no error), and taken back for the gradient where it is meant."""

import numpy as np

# One axis, several, or all of them
Dim = int | tuple[int, ...] | None


def require_shape(function: str, name: str, array: np.ndarray, expected: tuple[int, ...]) -> None:
    """Raise ValueError unless `array` has exactly the shape `expected`."""
    if array.shape != expected:
        raise ValueError(
            f"{function}: {name} has shape {array.shape}, expected {expected}; "
            "reshape it (this function does not broadcast)"
        )


def require_classes(function: str, z: np.ndarray, y: np.ndarray) -> None:
    """Raise ValueError unless y holds a class, an index of axis 1 of z, for each row (and position)
    of z; a negative one would silently index from the end."""
    require_shape(function, "y", y, z.shape[:1] + z.shape[2:])
    if y.dtype.kind not in "iu":
        raise ValueError(f"{function}: y is {y.dtype}, expected class indices of an integer type")
    if y.size and not 0 <= y.min() <= y.max() < z.shape[1]:
        raise ValueError(
            f"{function}: y holds classes {y.min()}..{y.max()}, expected 0..{z.shape[1] - 1}"
        )


def unbroadcast(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The gradient of an operand of this shape: the sum over the axes that it was repeated along.

    In memory of its own (a sum always is), as a gradient is handed to several operands.
    """
    new = gradient.ndim - len(shape)
    repeated = tuple(i for i, n in enumerate(shape, new) if n == 1 and gradient.shape[i] != 1)
    summed = gradient.sum(axis=(*range(new), *repeated), keepdims=True)
    return summed.reshape(shape)


def kept(reduced: np.ndarray, shape: tuple[int, ...], dim: Dim, keepdim: bool) -> np.ndarray:
    """What a reduction of an array of this shape made, with the reduced axes as axes of length 1,
    so that it broadcasts against the array."""
    if keepdim or not shape:
        return reduced
    axes = range(len(shape)) if dim is None else np.atleast_1d(dim) % len(shape)
    return np.expand_dims(reduced, tuple(int(axis) for axis in axes))


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
