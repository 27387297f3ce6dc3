"""The state that a recurrent network starts from, in torch."""

from collections.abc import Callable

from torch import Tensor


def zero_state(width: int) -> Callable[[Tensor], Tensor]:
    """state = 0                          # [m, ...] -> [m, width], one for each sample of input"""
    return lambda input: input.new_zeros(input.shape[0], width)  # noqa: A006
