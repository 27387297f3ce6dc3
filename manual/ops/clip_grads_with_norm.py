"""Gradient clipping by norm: gradients that are together too long are shortened, all by the same
factor, so that their direction stays.

clip_grad_norm does it to all of them. The course clips each number by value instead, which turns
the direction.

Source: Pascanu et al. 2013; torch.nn.utils.clip_grads_with_norm_ and clip_grad_norm_.
"""

from collections.abc import Mapping

import numpy as np

from torch_parity.manual.ops.get_total_norm import get_total_norm
from torch_parity.manual.recording import operation

EPS = 1e-6  # torch's


@operation
def clip_grads_with_norm(
    gradient: np.ndarray, total_norm: np.ndarray, *, max_norm: float
) -> np.ndarray:
    """clipped = gradient min(1, max_norm / (total_norm + 1e-6))    # any shape, [] -> that shape"""
    return gradient * np.minimum(max_norm / (total_norm + EPS), 1)


def clip_grads_with_norm_backward(
    dclipped: np.ndarray, gradient: np.ndarray, total_norm: np.ndarray, *, max_norm: float
) -> tuple[np.ndarray, np.ndarray]:
    """dgradient = dclipped min(1, max_norm / (total_norm + 1e-6))

    dtotal_norm = -sum(dclipped gradient) max_norm / (total_norm + 1e-6)^2, or 0 where nothing is
    clipped
    """
    short = total_norm + EPS
    factor = max_norm / short
    clips = factor <= 1  # as torch's clamp
    along = (dclipped * gradient).sum()
    return dclipped * np.minimum(factor, 1), -along * factor / short * clips


def clip_grad_norm(
    gradients: Mapping[str, np.ndarray], max_norm: float
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The gradients, shortened together to max_norm, and the total norm that they had."""
    total_norm = get_total_norm(*gradients.values())
    clipped = {
        name: clip_grads_with_norm(gradient, total_norm, max_norm=max_norm)
        for name, gradient in gradients.items()
    }
    return clipped, total_norm
