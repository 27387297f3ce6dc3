"""A small convolutional network in the manner of LeNet: two convolutions, each followed by an
activation and a pooling that halves the image, then ordinary layers.

    h = pool(g(conv1(x)));  h = pool(g(conv2(h)));  h = dropout(g(fc(h))) for each width;  head(h)

A kernel is 3x3 with a frame of zeros, so that only the pooling makes the image smaller. Tensors are
called by torch's module paths: conv1 is what the module conv1 returns, conv1.grad is its gradient.

Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition"; course 4
week 1, "CNN example".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from torch_parity.manual.losses.reduction import Reduction
from torch_parity.manual.models.step import (
    Tensors,
    example_labels,
    gradients_of_the_cost,
    loss_gradient,
    require_image,
)
from torch_parity.manual.names import MODULE_PATHS, Names
from torch_parity.manual.operations import Function, activation
from torch_parity.manual.ops.conv2d import conv2d, conv2d_backward, conv2d_backward_parameters
from torch_parity.manual.ops.dropout import dropout, dropout_backward
from torch_parity.manual.ops.identity import identity, identity_backward
from torch_parity.manual.ops.linear import linear, linear_backward
from torch_parity.manual.ops.max_pool2d import max_pool2d, max_pool2d_backward
from torch_parity.manual.ops.reshape import reshape, reshape_backward


@dataclass(frozen=True)
class ConvNet:
    """sizes is (n_in, channels of conv1, channels of conv2, widths..., n_out), sample_shape the
    (c, h, w) of an image, which a row of x holds. For loss, reduction, l1, l2 and m see Model
    (step.py)."""

    sizes: tuple[int, ...]
    sample_shape: tuple[int, ...]
    activation: str = "relu"
    output: str = "identity"
    loss: str = "cross_entropy"
    reduction: Reduction = "mean"
    negative_slope: float = 0.01
    approximate: str = "none"
    l1: float = 0.0
    l2: float = 0.0
    m: float = 1
    share: float = 1.0
    names: ClassVar[Names] = MODULE_PATHS
    result: ClassVar[str] = "output"
    usual: ClassVar[Mapping[str, Any]] = {"hidden": (8, 16, 32)}

    def __post_init__(self) -> None:
        require_image("ConvNet", self.sample_shape, least=4)
        if len(self.sizes) < 4:
            raise ValueError(
                f"ConvNet: sizes are {self.sizes}, expected (n_in, channels, channels, widths..., "
                "n_out): two convolutions"
            )

    @property
    def description(self) -> str:
        """The model in words, for the first line of a report."""
        _, first, second, *widths, n_out = self.sizes
        image = "x".join(map(str, self.sample_shape))
        layers = f"layers of width {', '.join(map(str, widths))}, " if widths else ""
        return (
            f"convolutional network: images of {image}, {first} and {second} channels, "
            f"{layers}{n_out} outputs ({self.activation}, {self.output} output)"
        )

    @property
    def widths(self) -> tuple[int, ...]:
        """What each ordinary layer reads and returns: the numbers that the second pooling leaves,
        then the widths."""
        _, height, width = self.sample_shape
        return (self.sizes[2] * (height // 4) * (width // 4), *self.sizes[3:-1])

    @property
    def hidden(self) -> list[str]:
        """The ordinary layers' names: hidden.0, hidden.1..."""
        return [f"hidden.{i}" for i in range(len(self.widths) - 1)]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """conv1.weight: (c1, c, 3, 3), conv1.bias: (c1,), conv2.weight..., head.bias: (n_out,)"""
        c, c1, c2 = self.sample_shape[0], *self.sizes[1:3]
        layers: dict[str, tuple[int, ...]] = {"conv1": (c1, c, 3, 3), "conv2": (c2, c1, 3, 3)}
        for name, n_in, n in zip(self.hidden, self.widths, self.widths[1:], strict=False):
            layers[f"{name}.fc"] = (n, n_in)
        layers["head"] = (self.sizes[-1], self.widths[-1])
        shapes: dict[str, tuple[int, ...]] = {}
        for name, shape in layers.items():
            shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        return shapes

    def example(self, rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """x: (m, c h w), and labels that fit the loss."""
        y = example_labels(self.loss, rng, samples, self.sizes[-1])
        return rng.random((samples, self.sizes[0])), y

    def shapes_of_masks(self, samples: int) -> dict[str, tuple[int, ...]]:
        """hidden.0.drop.mask: (m, width)..."""
        widths = zip(self.hidden, self.widths[1:], strict=True)
        return {f"{name}.drop.mask": (samples, n) for name, n in widths}

    def _activation(self, name: str) -> tuple[Function, Function]:
        return activation(name, negative_slope=self.negative_slope, approximate=self.approximate)

    def forward(
        self, params: Mapping[str, np.ndarray], x: np.ndarray, masks: Mapping[str, np.ndarray]
    ) -> Tensors:
        """[m, c h w] -> input, images, conv1, act1, pool1, ..., flat, hidden.0.fc, ..., output"""
        p, t = params, Tensors()
        g, _ = self._activation(self.activation)
        output, _ = self._activation(self.output)

        t["input"] = identity(x)
        t["images"] = reshape(t["input"], shape=(-1, *self.sample_shape))
        t["conv1"] = conv2d(t["images"], p["conv1.weight"], p["conv1.bias"], padding=1)
        t["act1"] = g(t["conv1"])  # [m, c1, h, w]
        t["pool1"] = max_pool2d(t["act1"], kernel_size=2)  # [m, c1, h / 2, w / 2]
        t["conv2"] = conv2d(t["pool1"], p["conv2.weight"], p["conv2.bias"], padding=1)
        t["act2"] = g(t["conv2"])
        t["pool2"] = max_pool2d(t["act2"], kernel_size=2)  # [m, c2, h / 4, w / 4]
        t["flat"] = h = reshape(t["pool2"], shape=(-1, self.widths[0]))
        for b in self.hidden:
            t[f"{b}.fc"] = linear(h, p[f"{b}.fc.weight"], p[f"{b}.fc.bias"])
            t[f"{b}.act"] = a = g(t[f"{b}.fc"])
            mask = masks.get(f"{b}.drop.mask")
            t[f"{b}.drop"] = h = identity(a) if mask is None else dropout(a, mask)
        t["head"] = linear(h, p["head.weight"], p["head.bias"])
        t["output"] = output(t["head"])
        return t

    def backward(
        self,
        params: Mapping[str, np.ndarray],
        t: Mapping[str, np.ndarray],
        y: np.ndarray,
        masks: Mapping[str, np.ndarray],
    ) -> Tensors:
        """From the output back to conv1. g[name] is d cost / d name; it is called name.grad."""
        p, g = params, Tensors()
        _, output_backward = self._activation(self.output)
        _, g_backward = self._activation(self.activation)
        inputs = ["flat", *(f"{b}.drop" for b in self.hidden)]

        g["output"] = loss_gradient(self, t["output"], y)
        g["head"] = output_backward(g["output"], t["head"])
        h = inputs.pop()
        g[h], g["head.weight"], g["head.bias"] = linear_backward(g["head"], t[h], p["head.weight"])
        for b in reversed(self.hidden):
            h, mask = inputs.pop(), masks.get(f"{b}.drop.mask")
            g[f"{b}.act"] = (
                identity_backward(g[f"{b}.drop"], t[f"{b}.act"])
                if mask is None
                else dropout_backward(g[f"{b}.drop"], mask)
            )
            g[f"{b}.fc"] = g_backward(g[f"{b}.act"], t[f"{b}.fc"])
            g[h], g[f"{b}.fc.weight"], g[f"{b}.fc.bias"] = linear_backward(
                g[f"{b}.fc"], t[h], p[f"{b}.fc.weight"]
            )
        g["pool2"] = reshape_backward(g["flat"], t["pool2"])
        g["act2"] = max_pool2d_backward(g["pool2"], t["act2"], kernel_size=2)
        g["conv2"] = g_backward(g["act2"], t["conv2"])
        g["pool1"], g["conv2.weight"], g["conv2.bias"] = conv2d_backward(
            g["conv2"], t["pool1"], p["conv2.weight"], padding=1
        )
        g["act1"] = max_pool2d_backward(g["pool1"], t["act1"], kernel_size=2)
        g["conv1"] = g_backward(g["act1"], t["conv1"])
        g["conv1.weight"], g["conv1.bias"] = conv2d_backward_parameters(
            g["conv1"], t["images"], p["conv1.weight"], padding=1
        )
        return gradients_of_the_cost(self, params, g)
