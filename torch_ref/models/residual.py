"""A residual network in torch: the block adds what it computes to what it was given.

The training step is step.py beside this file.
"""

from typing import Any

from torch import Tensor, nn

from torch_parity.torch_ref.operations import activation as activation_of
from torch_parity.torch_ref.ops.dropout import dropout
from torch_parity.torch_ref.ops.linear import linear
from torch_parity.torch_ref.ops.scale import scale


class Block(nn.Module):
    """h = g(h + s * fc2(dropout(g(fc1(h)))))                   # [m, width] -> [m, width]"""

    def __init__(
        self, width: int, inner: int, activation: str, s: float, p: float, **options: Any
    ) -> None:
        super().__init__()
        self.fc1 = linear(width, inner)
        self.act1 = activation_of(activation, **options)
        self.drop = dropout(p)
        self.fc2 = linear(inner, width)
        self.scale = scale(s)
        self.act2 = activation_of(activation, **options)

    def forward(self, h: Tensor) -> Tensor:
        branch = self.fc2(self.drop(self.act1(self.fc1(h))))
        out: Tensor = self.act2(h + self.scale(branch))
        return out


class Residual(nn.Module):
    """sizes is (n_in, width, a block's inner width..., n_out)."""

    def __init__(
        self,
        sizes: tuple[int, ...],
        activation: str = "relu",
        output: str = "identity",
        negative_slope: float = 0.01,
        approximate: str = "none",
        branch_scale: float = 1.0,
        p: float = 0.0,
    ) -> None:
        super().__init__()
        options = {"negative_slope": negative_slope, "approximate": approximate}
        n_in, width, *inner, n_out = sizes
        self.stem = linear(n_in, width)
        self.blocks = nn.Sequential(
            *(Block(width, n, activation, branch_scale, p, **options) for n in inner)
        )
        self.head = linear(width, n_out)
        self.output = activation_of(output, **options)

    def forward(self, x: Tensor) -> Tensor:
        """[m, n_in] -> [m, n_out]"""
        out: Tensor = self.output(self.head(self.blocks(self.stem(x))))
        return out
