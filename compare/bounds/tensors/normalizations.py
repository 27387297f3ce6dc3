"""Batch normalization and weight normalization. Layers, groups and root mean squares follow from
torch's own decompositions."""

from typing import Any

import numpy as np
import torch

from torch_parity.compare.bounds import sums
from torch_parity.compare.bounds.tensors.conversions import HALVES, tensor_of
from torch_parity.compare.bounds.tensors.elementwise import minus
from torch_parity.compare.bounds.tensors.products import inner, outer
from torch_parity.compare.bounds.tensors.reductions import variance
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.unbounded import Undetermined


def _per_channel(x: Any, ndim: int) -> Any:
    return x.reshape(1, -1, *(1,) * (ndim - 2))


def _parameter(x: Any, ndim: int) -> Any:
    return None if x is None else _per_channel(inner(x, x.dtype), ndim)


def _axes(ndim: int) -> tuple[int, ...]:
    return tuple(i for i in range(ndim) if i != 1)


def _statistics_type(x: torch.Tensor, *parameters: Any) -> torch.dtype:
    """Halves with parameters of float32 keep their statistics in float32."""
    types = {p.dtype for p in parameters if p is not None}
    return torch.float32 if x.dtype in HALVES and torch.float32 in types else x.dtype


def _inverse_root(var: Any, eps: float) -> Any:
    """1 / sqrt(var + eps)"""
    return np.reciprocal(np.sqrt(np.add(var, eps)))


@rule("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_functional")
def batch_norm(
    x: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool,
    momentum: float, eps: float,
) -> Any:  # fmt: skip
    """(x - mean) / sqrt(var + eps) w + b; in training the statistics are the batch's own

    running = (1 - momentum) running + momentum mean, and var with n - 1
    """
    b, axes = inner(x, x.dtype), _axes(x.ndim)
    kept = _statistics_type(x, weight, bias, running_mean, running_var)
    updates: list[Any] = [running_mean, running_var]
    if training:
        mean = sums.mean(b, b, axes, keepdims=True)
        var = variance(b, axes, 0.0, True)
        inverse = _inverse_root(var, eps)
        n = x.numel() // max(x.shape[1], 1)
        news = mean, var * (n / max(n - 1, 1))
        for i, (old, new) in enumerate(zip(updates, news, strict=True)):
            if old is not None:
                before = _parameter(old, x.ndim) * (1 - momentum)
                after = np.add(before, new * momentum).reshape(-1)
                updates[i] = outer(after, old.dtype)
        saved = [_statistic(z, x, kept) for z in (mean, inverse)]
        if kept in HALVES:  # the kernel goes on with what it has saved
            mean, inverse = (_parameter(z, x.ndim) for z in saved)
    else:
        mean = _parameter(running_mean, x.ndim)
        inverse = _inverse_root(_parameter(running_var, x.ndim), eps)
        saved = [torch.empty(0, dtype=kept) for _ in range(2)]
    y = np.add(b, minus(mean)) * inverse
    if weight is not None:
        y = y * _parameter(weight, x.ndim)
    if bias is not None:
        y = np.add(y, _parameter(bias, x.ndim))
    return (outer(y, x.dtype), *saved, *updates)


def _statistic(z: Any, x: torch.Tensor, kept: torch.dtype) -> Any:
    flat = z.reshape(-1)
    return tensor_of(flat, kept) if kept == torch.float32 else outer(flat, x.dtype)


@rule("_native_batch_norm_legit.no_stats")
def batch_norm_without_statistics(
    x: Any, weight: Any, bias: Any, training: bool, momentum: float, eps: float
) -> Any:
    """batch_norm, by the batch's own statistics"""
    return batch_norm(x, weight, bias, None, None, True, momentum, eps)[:3]


@rule("_batch_norm_with_update", "_batch_norm_with_update_functional")
def batch_norm_with_update(
    x: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, momentum: float, eps: float
) -> Any:
    """batch_norm in training"""
    found = batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps)
    return (*found[:3], Undetermined(), *found[3:])


@rule("_batch_norm_no_update")
def batch_norm_no_update(
    x: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, momentum: float, eps: float
) -> Any:
    """batch_norm in evaluation"""
    found = batch_norm(x, weight, bias, running_mean, running_var, False, momentum, eps)
    return (*found[:3], Undetermined())


@rule("native_batch_norm_backward")
def batch_norm_backward(
    grad: Any, x: Any, weight: Any, running_mean: Any, running_var: Any, save_mean: Any,
    save_invstd: Any, train: bool, eps: float, output_mask: Any,
) -> Any:  # fmt: skip
    """With r = 1 / sqrt(var + eps), d = x - mean, over n numbers a channel:

    dx = w r (dy - sum dy / n - d r^2 sum(dy d) / n)       dw = r sum(dy d)       db = sum dy
    """
    g, b, axes = inner(grad, grad.dtype), inner(x, x.dtype), _axes(x.ndim)
    if train:
        mean, inverse = _parameter(save_mean, x.ndim), _parameter(save_invstd, x.ndim)
    else:
        mean = _parameter(running_mean, x.ndim)
        inverse = _inverse_root(_parameter(running_var, x.ndim), eps)
    n = float(x.numel() // max(x.shape[1], 1))
    off = np.add(b, minus(mean))
    along = sums.total(g, g * off, axes, True)
    whole = sums.total(g, g, axes, True)
    kept = weight.dtype if weight is not None else x.dtype
    dx = dw = db = None
    if output_mask[0]:
        dx = g
        if train:
            less = np.add(whole / n, off * inverse * inverse * along / n)
            dx = np.add(g, minus(less))
        dx = dx * inverse
        if weight is not None:
            dx = dx * _parameter(weight, x.ndim)
        dx = outer(dx, grad.dtype)
    if output_mask[1]:
        dw = outer((along * inverse).reshape(-1), kept)
    if output_mask[2]:
        db = outer(whole.reshape(-1), kept)
    return dx, dw, db


@rule("batch_norm_backward")
def batch_norm_backward_with_reserve(
    grad: Any, x: Any, weight: Any, running_mean: Any, running_var: Any, save_mean: Any,
    save_var: Any, update: bool, eps: float, output_mask: Any, reserve: Any,
) -> Any:  # fmt: skip
    """The same"""
    return batch_norm_backward(
        grad, x, weight, running_mean, running_var, save_mean, save_var, update, eps, output_mask
    )


@rule("_weight_norm_interface_backward")
def weight_norm_backward(grad: Any, v: Any, g: Any, norms: Any, dim: int) -> Any:
    """w = g v / |v|:  dg = sum(dw v) / |v|       dv = g / |v| (dw - v sum(dw v) / |v|^2)"""
    dw, b, length, size = (inner(z, v.dtype) for z in (grad, v, norms, g))
    axes = tuple(i for i in range(v.ndim) if i != dim % v.ndim)
    along = sums.total(dw, dw * b, axes, True)
    dv = np.add(dw, minus(b * along / (length * length))) * size / length
    return outer(dv, v.dtype), outer((along / length).reshape(*g.shape), g.dtype)
