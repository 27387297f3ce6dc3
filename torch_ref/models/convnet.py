"""A small convolutional network in torch, in the manner of LeNet.

The training step is step.py beside this file.
"""

from typing import Any

from torch import Tensor, nn

from torch_parity.torch_ref.operations import activation as activation_of
from torch_parity.torch_ref.ops.dropout import dropout
from torch_parity.torch_ref.ops.linear import linear


class Hidden(nn.Module):
    """h = dropout(g(fc(h)))                                   # [m, n_in] -> [m, n]"""

    def __init__(self, n_in: int, n: int, activation: str, p: float, **options: Any) -> None:
        super().__init__()
        self.fc = linear(n_in, n)
        self.act = activation_of(activation, **options)
        self.drop = dropout(p)

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = self.drop(self.act(self.fc(h)))
        return out


class ConvNet(nn.Module):
    """sizes is (n_in, channels of conv1, channels of conv2, widths..., n_out), sample_shape the
    (c, h, w) of an image, which a row of x holds."""

    def __init__(
        self,
        sizes: tuple[int, ...],
        sample_shape: tuple[int, ...],
        activation: str = "relu",
        output: str = "identity",
        negative_slope: float = 0.01,
        approximate: str = "none",
        p: float = 0.0,
    ) -> None:
        super().__init__()
        options = {"negative_slope": negative_slope, "approximate": approximate}
        _, c1, c2, *widths, n_out = sizes
        c, height, width = sample_shape
        read = [c2 * (height // 4) * (width // 4), *widths]
        self.images = nn.Unflatten(1, sample_shape)
        self.conv1 = nn.Conv2d(c, c1, kernel_size=3, padding=1)
        self.act1 = activation_of(activation, **options)
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(c1, c2, kernel_size=3, padding=1)
        self.act2 = activation_of(activation, **options)
        self.pool2 = nn.MaxPool2d(2)
        self.flat = nn.Flatten()
        self.hidden = nn.Sequential(
            *(
                Hidden(n_in, n, activation, p, **options)
                for n_in, n in zip(read, widths, strict=False)
            )
        )
        self.head = linear(read[-1], n_out)
        self.output = activation_of(output, **options)

    def forward(self, x: Tensor) -> Tensor:
        """[m, c h w] -> [m, n_out]"""
        h = self.pool1(self.act1(self.conv1(self.images(x))))
        h = self.pool2(self.act2(self.conv2(h)))
        out: Tensor = self.output(self.head(self.hidden(self.flat(h))))
        return out
