"""The perturbed copy of a training, moved by one unit in the last place at every step: how far it
ends from the original is what rounding alone may do."""

import numpy as np

from torch_parity.compare.bounds.precision import all_widened
from torch_parity.manual.models.step import Tensors


def perturbed(params: Tensors, rng: np.random.Generator, dtype: np.dtype) -> Tensors:
    """Each number moved to its neighbour in this precision, up or down at random."""
    moved = {}
    for name, p in all_widened(params).items():
        towards = np.where(rng.random(p.shape) < 0.5, -np.inf, np.inf).astype(dtype)
        nearest = p.astype(dtype, copy=False)
        moved[name] = p + (np.nextafter(nearest, towards) - nearest)
    return moved


def drift(a: Tensors, b: Tensors) -> float:
    """The greatest relative difference of any parameter; NaN propagates, where one is too large for
    a difference."""
    return float(np.max([np.abs(a[n] - b[n]).max() / max(np.abs(b[n]).max(), 1e-300) for n in a]))
