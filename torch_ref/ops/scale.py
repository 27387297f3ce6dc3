"""A tensor times a fixed number in torch."""

from torch import Tensor, nn


class Scale(nn.Module):
    """A factor that is not trained, as a module, so that it shows in print(net)."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """out = factor * input                                 # any shape"""
        return self.factor * input


def scale(factor: float) -> Scale:
    """out = factor * input                                     # any shape"""
    return Scale(factor)
