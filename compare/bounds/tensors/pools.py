"""Averages and greatest numbers of windows, and their gradients."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from torch_parity.compare.bounds import sums, truths
from torch_parity.compare.bounds.tensors.conversions import lifted, tensor_of
from torch_parity.compare.bounds.tensors.products import inner, outer
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.scatter import summed
from torch_parity.compare.bounds.tensors.unbounded import Undetermined
from torch_parity.compare.bounds.tensors.windows import as_list, columns, flat, reads, together


def pooled_length(n: int, kernel: int, stride: int, padding: int, dilation: int, up: bool) -> int:
    """How many windows fit; up: also one that begins within the numbers and ends outside."""
    left = n + 2 * padding - dilation * (kernel - 1) - 1
    count = (left + (stride - 1 if up else 0)) // stride + 1
    if up and (count - 1) * stride >= n + padding:
        count -= 1
    return count


def sliding(
    spatial: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[np.ndarray, tuple[int, ...], list[np.ndarray]]:
    """Windows that slide: what they read, their number, and how long each is with the padding."""
    dims = len(spatial)
    k = as_list(kernel, dims)
    s = as_list(stride, dims) if len(stride if isinstance(stride, list) else [stride]) else k
    p, d = as_list(padding, dims), as_list(dilation, dims)
    sizes = tuple(pooled_length(spatial[i], k[i], s[i], p[i], d[i], ceil_mode) for i in range(dims))
    axes = [reads(sizes[i], spatial[i], k[i], s[i], p[i], d[i]) for i in range(dims)]
    lengths = []
    for i in range(dims):
        start = np.arange(sizes[i]) * s[i] - p[i]
        lengths.append(np.minimum(start + k[i], spatial[i] + p[i]) - start)
    return together(axes, spatial), sizes, lengths


def adaptive(spatial: Any, sizes: Any) -> np.ndarray:
    """Windows from floor(i n / m) to ceil((i + 1) n / m): m of n numbers along each axis."""
    axes = []
    for n, m in zip(spatial, sizes, strict=True):
        i = np.arange(m)
        start, end = i * n // m, -(-(i + 1) * n // m)
        k = np.arange(int((end - start).max(initial=1)))[:, None]
        axes.append(np.where(start + k < end, start + k, -1))
    return together(axes, spatial)


def _divisor(
    places: np.ndarray, lengths: list[np.ndarray], padded: bool, override: int | None
) -> np.ndarray:
    """What each window's sum is divided by."""
    if override is not None:
        return np.full(places.shape[1], float(override))
    if not padded:
        return (places >= 0).sum(0).astype(float)
    found = np.ones(1)
    for length in lengths:
        found = np.multiply.outer(found, length.astype(float)).reshape(-1)
    return found


def averaged(x: Any, places: np.ndarray, divisor: np.ndarray, sizes: Any) -> Any:
    """sum / n of each window"""
    dims = len(sizes)
    b = flat(inner(x, x.dtype), dims)
    read = columns(b, places)
    total = sums.total(b, read, (-2,))
    mean = total / divisor.astype(total.value.dtype)
    return outer(mean.reshape(*x.shape[: x.ndim - dims], *sizes), x.dtype)


def spread(grad: Any, shape: Any, places: np.ndarray, divisor: np.ndarray, dims: int) -> Any:
    """Each number's gradient: the sum of those of the windows that read it, each divided."""
    g = flat(inner(grad, grad.dtype), dims)
    g = g / divisor.astype(g.value.dtype)
    lead = int(np.prod(tuple(shape)[: len(shape) - dims]))
    size = int(np.prod(tuple(shape)[len(shape) - dims :]))
    g = g.reshape(lead, 1, -1)
    terms = g.like(*(np.broadcast_to(a, (lead, *places.shape)) for a in (g.value, g.error)))
    at = np.where(places < 0, -1, places + size * np.arange(lead)[:, None, None])
    return outer(summed(terms, at + 1, shape), grad.dtype)


def _average(dims: int) -> None:
    def forward(
        x: Any, kernel_size: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> Any:  # fmt: skip
        """The mean of each window"""
        spatial = x.shape[x.ndim - dims :]
        places, sizes, lengths = sliding(spatial, kernel_size, list(stride), padding, 1, ceil_mode)
        divisor = _divisor(places, lengths, count_include_pad, divisor_override)
        return averaged(x, places, divisor, sizes)

    def backward(
        grad: Any, x: torch.Tensor, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
        count_include_pad: bool, divisor_override: int | None,
    ) -> Any:  # fmt: skip
        """The gradient of the mean of each window"""
        spatial = x.shape[x.ndim - dims :]
        places, _, lengths = sliding(spatial, kernel_size, list(stride), padding, 1, ceil_mode)
        divisor = _divisor(places, lengths, count_include_pad, divisor_override)
        return spread(grad, x.shape, places, divisor, dims)

    def to_size(x: Any, output_size: Any) -> Any:
        """The mean of windows that cover all numbers"""
        places = adaptive(x.shape[x.ndim - dims :], output_size)
        return averaged(x, places, (places >= 0).sum(0).astype(float), tuple(output_size))

    def to_size_backward(grad: Any, x: torch.Tensor) -> Any:
        """The gradient of the mean of windows that cover all numbers"""
        places = adaptive(x.shape[x.ndim - dims :], grad.shape[grad.ndim - dims :])
        return spread(grad, x.shape, places, (places >= 0).sum(0).astype(float), dims)

    rule(f"avg_pool{dims}d")(forward)
    rule(f"avg_pool{dims}d_backward")(backward)
    rule(f"_adaptive_avg_pool{dims}d")(to_size)
    rule(f"_adaptive_avg_pool{dims}d_backward")(to_size_backward)


def greatest(x: Any, places: np.ndarray, sizes: Any) -> tuple[Any, Any]:
    """The greatest number of each window, and where it stands"""
    dims = len(sizes)
    b = flat(lifted(x, x.dtype), dims)
    read = columns(b, places, -np.inf)
    shape = (*x.shape[: x.ndim - dims], *sizes)
    found = truths.greatest(b, read, (-2,))
    first = read.value.argmax(-2)
    at = torch.from_numpy(np.take_along_axis(places, first.reshape(-1, first.shape[-1]), 0))
    at = at.reshape(shape)
    doubtful = read.error.any() or bool(
        ((read.value == found.value[..., None, :]).sum(-2) > 1).any()
    )
    return tensor_of(found.reshape(*shape), x.dtype), Undetermined(at) if doubtful else at


def chosen_places(grad: Any, shape: Any, indices: torch.Tensor, dims: int) -> Any:
    """Each number's gradient: the sum of those of the windows that it was the greatest of"""
    size = int(np.prod(tuple(shape)[len(shape) - dims :]))
    lead = int(np.prod(tuple(shape)[: len(shape) - dims]))
    at = indices.reshape(lead, -1).numpy() + size * np.arange(lead)[:, None]
    return outer(summed(inner(grad, grad.dtype), at + 1, shape), grad.dtype)


def _greatest(dims: int) -> None:
    def forward(
        x: Any, kernel_size: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False,
    ) -> Any:  # fmt: skip
        """The greatest number of each window, and where it stands"""
        spatial = x.shape[x.ndim - dims :]
        places, sizes, _ = sliding(spatial, kernel_size, list(stride), padding, dilation, ceil_mode)
        return greatest(x, places, sizes)

    def backward(grad: Any, x: torch.Tensor, *options: Any) -> Any:
        """The gradient of the greatest number of each window"""
        return chosen_places(grad, x.shape, options[-1], dims)

    def to_size(x: Any, output_size: Any) -> Any:
        """The greatest number of windows that cover all numbers"""
        places = adaptive(x.shape[x.ndim - dims :], output_size)
        return greatest(x, places, tuple(output_size))

    named: dict[str, Callable[..., Any]] = {
        f"max_pool{dims}d_with_indices": forward,
        f"max_pool{dims}d_with_indices_backward": backward,
        f"adaptive_max_pool{dims}d": to_size,
        f"adaptive_max_pool{dims}d_backward": backward,
    }
    for name, function in named.items():
        rule(name)(function)


for _dims in (2, 3):
    _average(_dims)
    _greatest(_dims)
