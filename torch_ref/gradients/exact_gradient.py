"""The exact gradient from the forward pass alone, in torch: forward-mode tangents."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def exact_gradient(
    cost: Callable[[Mapping[str, Tensor]], Tensor], params: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """jvp along every entry at once; backward is not involved. Refuses random dropout.

    It needs one tangent per entry, each as large as the parameters: for small networks.

    Raises:
        RuntimeError: the cost draws random numbers (randomness="error").
    """
    slopes: dict[str, Tensor] = torch.func.jacfwd(cost, randomness="error")(dict(params))
    return slopes
