"""Images drawn larger or smaller: each result is a weighted sum of its neighbours, axis by axis.

The place in the source is rounded as the weights are, so a neighbour further out may come in with
as much weight as that rounding is large: it is among the terms, with the weight 0 +- that error.
"""

from typing import Any

import numpy as np

from torch_parity.compare.bounds import sums
from torch_parity.compare.bounds.tensors.products import inner, outer
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.scatter import summed

CUBIC = -0.75


def source_places(
    results: int, numbers: int, corners: bool, scale: float | None, clamped: bool
) -> np.ndarray:
    """Where each result lies among the numbers."""
    i = np.arange(results, dtype=np.longdouble)
    if corners:
        return i * (np.longdouble(numbers - 1) / (results - 1) if results > 1 else 0)
    step = 1 / np.longdouble(scale) if scale else np.longdouble(numbers) / results
    at = (i + np.longdouble(0.5)) * step - np.longdouble(0.5)
    return np.maximum(at, 0) if clamped else at


def neighbours(
    like: Any, results: int, numbers: int, corners: bool, scale: float | None, cubic: bool
) -> tuple[np.ndarray, Any]:
    """The places of each result's neighbours, and their weights          # (results, taps), both"""
    at = source_places(results, numbers, corners, scale, clamped=not cubic)
    base = np.floor(at)
    t = (at - base)[:, None]
    reach = np.arange(-2, 4) if cubic else np.arange(-1, 3)
    if cubic:
        d = np.abs(reach - t)
        near = ((CUBIC + 2) * d - (CUBIC + 3)) * d * d + 1
        far = ((CUBIC * d - 5 * CUBIC) * d + 8 * CUBIC) * d - 4 * CUBIC
        weights = np.where(d <= 1, near, np.where(d < 2, far, 0))
    else:
        weights = np.maximum(1 - np.abs(reach - t), 0)
    # the place is a product and a sum; the weights change by no more than 1.5 times as much
    error = (12 if cubic else 6) * like.inner_u * (np.abs(at)[:, None].astype(float) + 1.5)
    places = np.clip(base[:, None].astype(np.int64) + reach, 0, numbers - 1)
    weights = weights.astype(like.value.dtype)
    return places, like.like(weights, np.broadcast_to(error, weights.shape).copy())


def along(x: Any, axis: int, results: int, corners: bool, scale: float | None, cubic: bool) -> Any:
    """One axis of x with another number of entries."""
    places, weights = neighbours(x, results, x.shape[axis], corners, scale, cubic)
    last: Any = np.moveaxis(x, axis, -1)
    terms = last[..., places] * weights
    return _moved_back(sums.total(x, terms, (-1,)), axis)


def _moved_back(x: Any, axis: int) -> Any:
    return np.moveaxis(x, -1, axis)


def back_along(
    g: Any, axis: int, numbers: int, corners: bool, scale: float | None, cubic: bool
) -> Any:
    """The gradient of that axis."""
    places, weights = neighbours(g, g.shape[axis], numbers, corners, scale, cubic)
    last: Any = np.moveaxis(g, axis, -1)
    lead = last.shape[:-1]
    terms = last.reshape(-1, last.shape[-1], 1) * weights
    rows = numbers * np.arange(terms.shape[0])[:, None, None]
    found = summed(terms, places + rows + 1, (terms.shape[0], numbers))
    return _moved_back(found.reshape(*lead, numbers), axis)


def _scales(given: tuple[Any, ...], dims: int) -> list[Any]:
    return (list(given) + [None] * dims)[:dims]


def _interpolation(name: str, dims: int, cubic: bool) -> None:
    def forward(x: Any, output_size: Any, align_corners: bool, *scales: Any) -> Any:
        """Weighted sums of neighbours"""
        b = inner(x, x.dtype)
        for d, scale in enumerate(_scales(scales, dims)):
            b = along(b, d - dims, int(output_size[d]), align_corners, scale, cubic)
        return outer(b, x.dtype)

    def backward(
        grad: Any, output_size: Any, input_size: Any, align_corners: bool, *scales: Any
    ) -> Any:
        """The gradient of weighted sums of neighbours"""
        g = inner(grad, grad.dtype)
        for d, scale in enumerate(_scales(scales, dims)):
            g = back_along(g, d - dims, int(input_size[d - dims]), align_corners, scale, cubic)
        return outer(g, grad.dtype)

    rule(f"{name}.default")(forward)
    rule(f"{name}_backward.default")(backward)


_interpolation("upsample_linear1d", 1, cubic=False)
_interpolation("upsample_bilinear2d", 2, cubic=False)
_interpolation("upsample_trilinear3d", 3, cubic=False)
_interpolation("upsample_bicubic2d", 2, cubic=True)
