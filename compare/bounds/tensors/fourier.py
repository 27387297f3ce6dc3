"""Discrete Fourier transforms, as products with matrices of cosines and sines.

The bound of such a product is larger than what a fast transform rounds: each number of the result
is a sum of all numbers along the axis, and a fast transform adds up fewer at a time.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.complex_numbers import Complex, each, of, rule
from torch_parity.compare.bounds.tensors.conversions import bounded_of, lifted
from torch_parity.compare.bounds.tensors.unbounded import Unbounded

MOST = 2048  # numbers along an axis: the matrices hold their square


@rule("_fft_c2c")
def fft(x: Complex, dim: Any, normalization: int, forward: bool) -> Complex:
    """X_k = sum over j of x_j e^(-2 pi i j k / n), along each of dim; + in the inverse."""
    total = math.prod(x.pairs.shape[d] for d in dim)
    for d in dim:
        cos, sin = _waves(x.re, d)
        sin = -sin if forward else sin
        x = of(
            _along(d, x.re, cos) - _along(d, x.im, sin), _along(d, x.re, sin) + _along(d, x.im, cos)
        )
    return each(lambda part: _normalized(part, total, normalization), x)


@rule("_fft_r2c")
def rfft(x: Tensor, dim: Any, normalization: int, onesided: bool) -> Complex:
    """fft of real numbers; onesided leaves out what is the conjugate of the rest."""
    total, last = math.prod(x.shape[d] for d in dim), dim[-1]
    cos, sin = _waves(x, last)
    made = of(_along(last, x, cos), -_along(last, x, sin))
    if onesided:
        made = each(lambda part: part.narrow(last, 0, x.shape[last] // 2 + 1), made)
    made = fft(made, dim[:-1], 0, True)
    return each(lambda part: _normalized(part, total, normalization), made)


@rule("_fft_c2r")
def irfft(x: Complex, dim: Any, normalization: int, last_dim_size: int) -> Tensor:
    """The last_dim_size real numbers of which x is the onesided transform along the last of dim:
    what is left out of x is the conjugate of the rest."""
    n, last = last_dim_size, dim[-1]
    x = fft(x, dim[:-1], 0, False)
    total = n * math.prod(x.pairs.shape[d] for d in dim[:-1])
    kept = n // 2 + 1
    x = each(lambda part: part.narrow(last, 0, kept), x)
    cos, sin = _waves(x.re, last, n)
    twice = torch.tensor([1.0 if 2 * k in (0, n) else 2.0 for k in range(kept)]).to(cos.dtype)
    cos, sin = (wave[:kept] * twice[:, None] for wave in (cos, sin))
    return _normalized(_along(last, x.re, cos) - _along(last, x.im, sin), total, normalization)


def _along(dim: int, x: Tensor, matrix: Tensor) -> Tensor:
    """x @ matrix, along dim."""
    return (x.movedim(dim, -1).unsqueeze(-2) @ matrix).squeeze(-2).movedim(-1, dim)


def _waves(x: Tensor, dim: int, n: int | None = None) -> tuple[Tensor, Tensor]:
    """cos and sin of 2 pi j k / n, to the digits of the judge."""
    n = x.shape[dim] if n is None else n
    if n > MOST:
        raise Unbounded(f"a Fourier transform of more than {MOST} numbers")
    held = lifted(x, x.dtype).value.dtype.type
    steps = np.outer(np.arange(n), np.arange(n)) % n
    angles = steps.astype(held) * (8 * np.arctan(held(1)) / n)
    cos = np.where(4 * steps % (2 * n) == n, 0, np.cos(angles))  # exactly, at a quarter turn
    sin = np.where(2 * steps % n == 0, 0, np.sin(angles))
    made = (BoundedTensor(bounded_of(wave, 0.0, x.dtype), x.dtype) for wave in (cos, sin))
    return next(made), next(made)


def _normalized(x: Tensor, total: int, how: int) -> Tensor:
    """Divided by nothing, the root of the count or the count."""
    return x * (1.0, 1 / math.sqrt(total), 1 / total)[how] if how else x
