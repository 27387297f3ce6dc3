"""Greatest numbers of windows whose places are drawn at random."""

from typing import Any

import numpy as np
import torch

from torch_parity.compare.bounds.tensors.conversions import lifted
from torch_parity.compare.bounds.tensors.pools import chosen_places, greatest
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.unbounded import Undetermined
from torch_parity.compare.bounds.tensors.windows import as_list, together


def starts(sample: Any, n: int, size: int, kernel: int) -> np.ndarray:
    """int((i + u) a) - int(u a) with a = (n - kernel) / (size - 1), in the type of the numbers; the
    last window ends where the numbers do."""
    found = np.full(size, n - kernel)
    if size > 1:
        a = sample.dtype.type(n - kernel) / sample.dtype.type(size - 1)
        i = np.arange(size - 1).astype(sample.dtype)
        found[:-1] = ((i + sample) * a).astype(np.int64) - np.int64(sample * a)
    return found


def _place(found: Any) -> Any:
    return found.as_computed if isinstance(found, Undetermined) else found


def _pool(dims: int) -> None:
    def forward(x: Any, kernel_size: Any, output_size: Any, random_samples: Any) -> Any:
        """The greatest number of each window, and where it stands"""
        spatial, kernel = x.shape[x.ndim - dims :], as_list(kernel_size, dims)
        samples = lifted(random_samples, x.dtype).value
        samples = samples.astype(np.float32 if x.dtype == torch.float32 else np.float64)
        planes = x.reshape(-1, 1, *spatial)
        values, places = [], []
        # one image may come with the numbers of several, which are not used
        drawn_of = samples.reshape(-1, dims)[: len(planes)]
        for plane, drawn in zip(planes, drawn_of, strict=True):
            # in two dimensions the first number is that of the last axis
            own = drawn[::-1] if dims == 2 else drawn
            begun = [
                starts(u, n, m, k)
                for u, n, m, k in zip(own, spatial, output_size, kernel, strict=True)
            ]
            axes = [b + np.arange(k)[:, None] for b, k in zip(begun, kernel, strict=True)]
            value, place = greatest(plane, together(axes, spatial), tuple(output_size))
            values.append(value)
            places.append(place)
        shape = (*x.shape[: x.ndim - dims], *output_size)
        doubtful = any(isinstance(p, Undetermined) for p in places)
        at = torch.stack([_place(p) for p in places])
        at = at.reshape(shape)
        return torch.stack(values).reshape(shape), Undetermined(at) if doubtful else at

    def backward(grad: Any, x: torch.Tensor, kernel: Any, size: Any, indices: torch.Tensor) -> Any:
        """The gradient of the greatest number of each window"""
        return chosen_places(grad, x.shape, indices, dims)

    rule(f"fractional_max_pool{dims}d")(forward)
    rule(f"fractional_max_pool{dims}d_backward")(backward)


for _dims in (2, 3):
    _pool(_dims)
