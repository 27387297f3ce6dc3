"""Gradient clipping by norm, in torch.

torch.nn.utils.clip_grad_norm_ does it to the .grad of all parameters, in place; here it is a value
in and a value out.
"""

from collections.abc import Callable

from torch import Tensor


def clip_grads_with_norm(max_norm: float) -> Callable[[Tensor, Tensor], Tensor]:
    """clipped = gradient min(1, max_norm / (total_norm + 1e-6))    # any shape, [] -> that shape"""
    return lambda gradient, total_norm: gradient * (max_norm / (total_norm + 1e-6)).clamp(max=1.0)
