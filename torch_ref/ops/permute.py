"""The axes in another order, in torch."""

from collections.abc import Callable

from torch import Tensor


def permute(dims: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    """out = input with its axes in the order dims"""
    return lambda input: input.permute(dims)  # noqa: A006
