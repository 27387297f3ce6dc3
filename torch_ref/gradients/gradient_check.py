"""Gradient checking in torch: autograd's own, by central differences."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


def gradient_check(
    cost: Callable[[], Tensor],
    parameters: Iterable[Tensor],
    epsilon: float = 1e-6,
    fast_mode: bool = False,
) -> bool:
    """True if autograd's gradient of cost() agrees with central differences for the parameters.

    torch.autograd.gradcheck accepts an entry when |difference| <= 1e-5 + 1e-3 * |numerical|.
    In fast mode it checks one random direction of each parameter, not every entry.

    Raises:
        torch.autograd.gradcheck.GradcheckError: they differ; the message shows both Jacobians.
    """
    return torch.autograd.gradcheck(
        lambda *_: cost(), tuple(parameters), eps=epsilon, fast_mode=fast_mode
    )
