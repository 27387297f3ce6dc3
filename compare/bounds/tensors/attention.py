"""Fused attention: softmax(q k^T scale + mask) v, and its gradients.

The kernels go through the keys in blocks, and rescale what they have by e^(old maximum - new one).
They take exponentials that are good to 20 units (exp_u20), and in halves round what they multiply.
"""

import math
from typing import Any

import numpy as np
import torch

from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.conversions import HALVES, inner_type
from torch_parity.compare.bounds.tensors.elementwise import loosened
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.tiers import judged_by
from torch_parity.compare.bounds.tensors.unbounded import Unbounded, Undetermined

EXP_UNITS = 20
KEYS_A_BLOCK = 128
FAR_BELOW = 2e4  # e^-20000 is 0 in every precision


def _raised(x: Any) -> Any:
    return None if x is None else x.to(inner_type(x.dtype)) if x.is_floating_point() else x


def _lowered(x: Any, dtype: torch.dtype) -> Any:
    """Rounded to the half that a kernel multiplies."""
    return x.to(dtype).to(x.dtype) if dtype in HALVES else x


def _repeated(x: Any, heads: int) -> Any:
    """Keys and values that several queries share."""
    if x.shape[1] == heads:
        return x
    times = heads // x.shape[1]
    shared = x.unsqueeze(2).expand(-1, -1, times, -1, -1)
    return shared.reshape(x.shape[0], heads, *x.shape[2:])


def _summed_heads(x: Any, heads: int) -> Any:
    """The gradient of what several queries share."""
    if x.shape[1] == heads:
        return x
    return x.reshape(x.shape[0], heads, -1, *x.shape[2:]).sum(2)


def scores(q: Any, k: Any, causal: bool, mask: Any, scale: float) -> Any:
    """q k^T scale + mask"""
    s = torch.matmul(q, k.transpose(-2, -1)) * scale
    if causal:
        allowed = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril()
        s = s.masked_fill(~allowed, -math.inf)
    if mask is not None:
        s = s.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else s + mask
    return s


def without_hidden(s: Any, axis: int = -1) -> Any:
    """The scores with -inf for those that a softmax makes 0 of: masks of the least number that
    there is are as good, but adding to them may overflow, which leaves no bound."""
    if not isinstance(s, BoundedTensor) or not s.numel() or not s.dim():
        return s
    x = s.bounded
    low = (x.value - x.error).max(axis, keepdims=True)
    hidden = np.asarray(x.value + x.error < low - FAR_BELOW)
    if not hidden.any():
        return s
    value, error = np.where(hidden, -np.inf, x.value), np.where(hidden, 0.0, x.error)
    return BoundedTensor(x.like(value, error), s.dtype)


@rule("_softmax")
def softmax(x: Any, axis: int, half_to_float: bool = False) -> Any:
    """e^(x - max) / sum"""
    dtype = torch.float32 if half_to_float else x.dtype
    if not x.numel():
        return x.to(dtype)
    with judged_by(alone=False):
        x = without_hidden(_raised(x), axis)
        e = (x - x.amax(axis, True)).exp()
        return (e / e.sum(axis, True)).to(dtype)


def _scale(q: Any, scale: float | None) -> float:
    return 1 / math.sqrt(q.shape[-1]) if scale is None else scale


def _units(keys: int) -> float:
    """Of an exponential that was rescaled once a block, by an exponential of the mathematical
    library and a product."""
    return EXP_UNITS + 4.0 * math.ceil(keys / KEYS_A_BLOCK)


def attended(
    q: Any, k: Any, v: Any, dropout_p: float, causal: bool, mask: Any, scale: float | None
) -> tuple[Any, Any]:
    """The result, and the logarithm of the sum of exponentials."""
    if dropout_p:
        raise Unbounded("attention with dropout draws random numbers")
    dtype, scale = q.dtype, _scale(q, scale)
    with judged_by(alone=False):
        q, k, v, mask = (_raised(x) for x in (q, k, v, mask))
        k, v = _repeated(k, q.shape[1]), _repeated(v, q.shape[1])
        s = without_hidden(scores(q, k, causal, mask, scale))
        most = s.amax(-1, True)
        p = loosened((s - most).exp(), _units(s.shape[-1]))
        total = p.sum(-1, True)
        out = torch.matmul(_lowered(p, dtype), v) / total
        return out.to(dtype), (total.log() + most).squeeze(-1)


def attended_backward(
    grad: Any, q: Any, k: Any, v: Any, out: Any, lse: Any, dropout_p: float, causal: bool,
    mask: Any, scale: float | None,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """p = e^(s - lse):  dv = p^T dy       ds = p (dy v^T - sum(dy y)) scale

    dq = ds k       dk = ds^T q
    """
    if dropout_p:
        raise Unbounded("attention with dropout draws random numbers")
    dtype, scale, heads = q.dtype, _scale(q, scale), k.shape[1]
    with judged_by(alone=False):
        grad, q, k, v, out, lse, mask = (_raised(x) for x in (grad, q, k, v, out, lse, mask))
        k, v = _repeated(k, q.shape[1]), _repeated(v, q.shape[1])
        s = without_hidden(scores(q, k, causal, mask, scale))
        p = loosened((s - lse.unsqueeze(-1)).exp(), EXP_UNITS)
        dv = torch.matmul(_lowered(p, dtype).transpose(-2, -1), grad)
        ds = p * (torch.matmul(grad, v.transpose(-2, -1)) - (grad * out).sum(-1, True)) * scale
        ds = _lowered(ds, dtype)
        dq, dk = torch.matmul(ds, k), torch.matmul(ds.transpose(-2, -1), q)
        return (
            dq.to(dtype),
            _summed_heads(dk, heads).to(dtype),
            _summed_heads(dv, heads).to(dtype),
        )


@rule("_scaled_dot_product_flash_attention_for_cpu")
def flash_for_cpu(
    q: Any, k: Any, v: Any, dropout_p: float = 0.0, is_causal: bool = False, *,
    attn_mask: Any = None, scale: float | None = None,
) -> Any:  # fmt: skip
    """On the CPU"""
    return attended(q, k, v, dropout_p, is_causal, attn_mask, scale)


@rule("_scaled_dot_product_flash_attention_for_cpu_backward")
def flash_for_cpu_backward(
    grad: Any, q: Any, k: Any, v: Any, out: Any, lse: Any, dropout_p: float, is_causal: bool, *,
    attn_mask: Any = None, scale: float | None = None,
) -> Any:  # fmt: skip
    """On the CPU"""
    return attended_backward(grad, q, k, v, out, lse, dropout_p, is_causal, attn_mask, scale)


@rule("_scaled_dot_product_flash_attention")
def flash(
    q: Any, k: Any, v: Any, dropout_p: float = 0.0, is_causal: bool = False,
    return_debug_mask: bool = False, *, scale: float | None = None,
) -> Any:  # fmt: skip
    """On a GPU: the rest of its results is what the backward kernel needs"""
    found = attended(q, k, v, dropout_p, is_causal, None, scale)
    return (*found, *(Undetermined() for _ in range(7)))


@rule("_scaled_dot_product_efficient_attention")
def efficient(
    q: Any, k: Any, v: Any, attn_bias: Any, compute_log_sumexp: bool, dropout_p: float = 0.0,
    is_causal: bool = False, *, scale: float | None = None,
) -> Any:  # fmt: skip
    """On a GPU; the logarithms are padded to a multiple of a block"""
    out, _ = attended(q, k, v, dropout_p, is_causal, attn_bias, scale)
    return out, Undetermined(), Undetermined(), Undetermined()
