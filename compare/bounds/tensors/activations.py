"""Activations whose kernels round otherwise than their formulas."""

from typing import Any

import numpy as np
import torch

from torch_parity.compare import torch_private
from torch_parity.compare.bounds.rules import size_of
from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.tiers import judged_by

# torch's vectorised erf in float32 (Abramowitz and Stegun 7.1.26) is good to 1.5e-7 of 1, not of
# itself: 1.3 units. Half of it is in the share of the normal distribution.
ERF_UNITS = 2.0


def _with_erf(overload: Any, of: Any, *args: Any, approximate: str) -> BoundedTensor:
    """torch's decomposition, and what the kernel's erf loses of a factor."""
    decomposed = torch_private.decomposition_of(overload)
    assert decomposed is not None
    with judged_by(alone=False):
        found: BoundedTensor = decomposed(*args, approximate=approximate)
    if approximate != "none" or found.dtype == torch.float64:
        return found
    b = found.bounded
    lost = ERF_UNITS * b.inner_u * size_of(of.bounded.value) * np.ones(b.shape)
    return BoundedTensor(b.like(b.value, b.error + lost), found.dtype)


@rule("gelu")
def gelu(x: Any, *, approximate: str = "none") -> BoundedTensor:
    """x Phi(x), Phi(x) = (1 + erf(x / sqrt 2)) / 2"""
    return _with_erf(torch.ops.aten.gelu.default, x, x, approximate=approximate)


@rule("gelu_backward")
def gelu_backward(grad: Any, x: Any, *, approximate: str = "none") -> BoundedTensor:
    """dy (Phi(x) + x phi(x))"""
    overload = torch.ops.aten.gelu_backward.default
    return _with_erf(overload, grad, grad, x, approximate=approximate)
