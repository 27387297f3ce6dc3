"""Activations whose kernels round otherwise than their formulas."""

from typing import Any

import torch

from torch_parity.compare import torch_private
from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.tiers import judged_by


def _decomposed(overload: Any, *args: Any, approximate: str) -> BoundedTensor:
    """By torch's own formula."""
    formula = torch_private.decomposition_of(overload)
    assert formula is not None
    with judged_by(alone=False):
        found: BoundedTensor = formula(*args, approximate=approximate)
    return found


@rule("gelu")
def gelu(x: Any, *, approximate: str = "none") -> BoundedTensor:
    """x Phi(x), Phi(x) = (1 + erf(x / sqrt 2)) / 2"""
    return _decomposed(torch.ops.aten.gelu.default, x, approximate=approximate)


@rule("gelu_backward")
def gelu_backward(grad: Any, x: Any, *, approximate: str = "none") -> BoundedTensor:
    """dy (Phi(x) + x phi(x))"""
    overload = torch.ops.aten.gelu_backward.default
    return _decomposed(overload, grad, x, approximate=approximate)
