"""Kernels that read at places which are computed or given, and slopes that are drawn."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from torch_parity.compare import torch_private
from torch_parity.compare.bounds.tensors.conversions import inner_type, lifted, tensor_of
from torch_parity.compare.bounds.tensors.elementwise import applied
from torch_parity.compare.bounds.tensors.positions import gathered, numbered, pool_of
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.tiers import judged_by
from torch_parity.compare.bounds.tensors.unbounded import Unbounded, Undetermined

A = torch.ops.aten


def apart(x: Any) -> Any:
    """The same numbers in the type that is computed in, apart from any graph."""
    inner_dtype = inner_type(x.dtype)
    return tensor_of(lifted(x, inner_dtype), inner_dtype)


def differentiated(function: Callable[..., Any], inputs: Any, grad: Any) -> list[Any]:
    """The gradients of function(*inputs), each in the type of its input."""
    with judged_by(alone=False), torch.enable_grad():
        leaves: list[Any] = [apart(x).requires_grad_() for x in inputs]
        made = function(*leaves)
        found: Any = torch.autograd.grad(made, leaves, apart(grad), allow_unused=True)
        return [
            None if g is None else tensor_of(g.bounded, g.dtype).to(x.dtype)
            for g, x in zip(found, inputs, strict=True)
        ]


@rule("grid_sampler_2d_backward")
def grid_sampler_backward(
    grad: Any, x: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool,
    output_mask: Any,
) -> Any:  # fmt: skip
    """Of an image that is read at the places of a grid"""
    forward = torch_private.decomposition_of(A.grid_sampler_2d.default)
    if forward is None:
        raise Unbounded("this torch has no formula for it")
    sample = forward
    options = interpolation_mode, padding_mode, align_corners
    found = differentiated(lambda a, b: sample(a, b, *options), (x, grid), grad)
    given = zip(found, (x, grid), strict=True)
    full = [A.zeros_like.default(z) if g is None else g for g, z in given]
    # the kernel computes both: what is not asked for is of no use
    dx, dgrid = full
    return dx if output_mask[0] else None, dgrid if output_mask[1] else Undetermined()


@rule("rrelu_with_noise", "rrelu_with_noise_functional")
def rrelu(
    x: Any, noise: Any, lower: Any = 0.125, upper: Any = 1 / 3, training: bool = False,
    generator: Any = None,
) -> Any:  # fmt: skip
    """x, or x times a slope below 0: random in training, the mean of the range in evaluation"""
    if training:
        return [Undetermined(), Undetermined()]
    with judged_by(alone=False):
        down = applied(np.multiply, x, (float(lower) + float(upper)) / 2)
        return [A.where.self(A.gt.Scalar(x, 0), x, down), noise]


@rule("_pack_padded_sequence")
def pack_padded(x: Any, lengths: torch.Tensor, batch_first: bool) -> Any:
    """The entries of sequences of different length, step by step; and how many each step has"""
    places, sizes = A._pack_padded_sequence.default(numbered(x), lengths, batch_first)
    return tensor_of(gathered(pool_of(lifted(x, x.dtype)), places), x.dtype), sizes
