"""Functions that choose by the size of a number: clamps, rectifiers, shrinkage."""

from typing import Any

import numpy as np
import torch

from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.comparisons import chosen, compared, truths_and
from torch_parity.compare.bounds.tensors.conversions import common_type, lifted, tensor_of
from torch_parity.compare.bounds.tensors.elementwise import is_plain
from torch_parity.compare.bounds.tensors.registry import rule


@rule("clamp", "clip")
def clamp(x: Any, min: Any = None, max: Any = None) -> Any:  # noqa: A002
    """min(max(x, low), high)"""
    if is_plain(x, min, max):
        return torch.clamp(x, min, max)
    dtype = common_type(x, min, max)
    b = lifted(x, dtype)
    if min is not None:
        b = np.maximum(b, lifted(min, dtype))
    if max is not None:
        b = np.minimum(b, lifted(max, dtype))
    return tensor_of(b, dtype)


@rule("clamp_min")
def clamp_min(x: Any, min: Any) -> Any:  # noqa: A002
    """max(x, low)"""
    return clamp(x, min)


@rule("clamp_max")
def clamp_max(x: Any, max: Any) -> Any:  # noqa: A002
    """min(x, high)"""
    return clamp(x, None, max)


@rule("hardtanh")
def hardtanh(x: Any, min_val: Any = -1, max_val: Any = 1) -> Any:
    """min(max(x, low), high)"""
    return clamp(x, min_val, max_val)


@rule("relu")
def relu(x: Any) -> Any:
    """max(x, 0)"""
    return clamp(x, 0)


@rule("hardsigmoid_backward")
def hardsigmoid_backward(grad: Any, x: Any) -> BoundedTensor:
    """grad / 6 between -3 and 3, with float32's 1/6, which torch has in float64 too"""
    dtype = common_type(grad, x)
    g = lifted(grad, dtype)
    sixth = g.lift(np.asarray(1.0)) / g.lift(np.asarray(6.0))
    sixth = sixth.like(sixth.value, sixth.error + float(np.finfo(np.float32).eps) / 12)
    inside = truths_and(compared(np.greater, x, -3), compared(np.less, x, 3))
    return chosen(inside, tensor_of(g * sixth, dtype), 0, dtype)


@rule("hardshrink_backward", "softshrink_backward")
def shrink_backward(grad: Any, x: Any, lambd: Any = 0.5) -> Any:
    """grad outside of -lambda to lambda"""
    inside = truths_and(compared(np.greater_equal, x, -lambd), compared(np.less_equal, x, lambd))
    return chosen(inside, 0, grad, grad.dtype)


@rule("threshold")
def threshold(x: Any, threshold: Any, value: Any) -> Any:
    """x where it is above the threshold, else the value"""
    return chosen(compared(np.less_equal, x, threshold), value, x, x.dtype)
