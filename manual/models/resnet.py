"""A residual network of convolutions: batch norm after each, and a shortcut around every two.

    h = g(bn1(conv1(x)));  h = g(h' + bn2(conv2(g(bn1(conv1(h)))))) for each block;  head(mean(h))

h' is h itself, or, where a block changes the number of channels, a 1x1 convolution of it with a
batch norm; such a block also halves the image. The last mean is that of each channel.
Tensors are called by torch's module paths. The running statistics are values in and values out:
bn1.running_mean in params is what the step was given, in t what it is afterwards.

Source: He et al. 2015, "Deep residual learning for image recognition"; course 4 week 2, "ResNets".
"""

from collections.abc import Iterator, Mapping
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
from torch_parity.manual.ops.adaptive_avg_pool2d import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
)
from torch_parity.manual.ops.add import add_backward
from torch_parity.manual.ops.batch_norm import batch_norm, batch_norm_backward
from torch_parity.manual.ops.conv2d_no_bias import (
    conv2d_no_bias,
    conv2d_no_bias_backward,
    conv2d_no_bias_backward_parameters,
)
from torch_parity.manual.ops.dropout import dropout, dropout_backward
from torch_parity.manual.ops.identity import identity, identity_backward
from torch_parity.manual.ops.linear import linear, linear_backward
from torch_parity.manual.ops.reshape import reshape, reshape_backward

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class ResNet:
    """sizes is (n_in, channels of the first convolution, channels of each block..., n_out),
    sample_shape the (c, h, w) of an image, which a row of x holds. For loss, reduction, l1, l2 and
    m see Model, for training and buffers KeepsStatistics (step.py)."""

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
    training: bool = True
    names: ClassVar[Names] = MODULE_PATHS
    result: ClassVar[str] = "output"
    usual: ClassVar[Mapping[str, Any]] = {"hidden": (8, 8, 16)}

    def __post_init__(self) -> None:
        if len(self.sizes) < 4:
            raise ValueError(
                f"ResNet: sizes are {self.sizes}, expected (n_in, channels, a block's channels..., "
                "n_out): at least one block"
            )
        require_image("ResNet", self.sample_shape, least=2)

    @property
    def description(self) -> str:
        """The model in words, for the first line of a report."""
        _, channels, *blocks, n_out = self.sizes
        return (
            f"residual network of convolutions: images of {'x'.join(map(str, self.sample_shape))}, "
            f"{channels} channels, blocks of {', '.join(map(str, blocks))} channels, {n_out} "
            f"outputs ({self.activation}, {self.output} output)"
        )

    def _blocks(self) -> Iterator[tuple[str, int, int]]:
        """(name, channels that it reads, channels that it returns) of each block."""
        for i, (read, made) in enumerate(zip(self.sizes[1:-2], self.sizes[2:-1], strict=True)):
            yield f"blocks.{i}", read, made

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """conv1.weight: (width, c, 3, 3), bn1.weight: (width,), bn1.bias..., head.bias: (n_out,)"""
        convolutions = {("conv1", "bn1"): (self.sizes[1], self.sample_shape[0], 3, 3)}
        for b, read, made in self._blocks():
            convolutions[f"{b}.conv1", f"{b}.bn1"] = (made, read, 3, 3)
            convolutions[f"{b}.conv2", f"{b}.bn2"] = (made, made, 3, 3)
            if read != made:
                convolutions[f"{b}.downsample.0", f"{b}.downsample.1"] = (made, read, 1, 1)
        shapes: dict[str, tuple[int, ...]] = {}
        for (conv, bn), shape in convolutions.items():
            shapes |= {f"{conv}.weight": shape}
            shapes |= {f"{bn}.weight": shape[:1], f"{bn}.bias": shape[:1]}
        return shapes | {
            "head.weight": (self.sizes[-1], self.sizes[-2]),
            "head.bias": self.sizes[-1:],
        }

    def buffers(self) -> Tensors:
        """bn1.running_mean: 0 of (width,), bn1.running_var: 1 of (width,), blocks.0.bn1..."""
        kept: Tensors = {}
        for name, shape in self.shapes().items():
            bn = name.removesuffix(".bias")
            if bn != name and bn != "head":
                kept |= {f"{bn}.running_mean": np.zeros(shape), f"{bn}.running_var": np.ones(shape)}
        return kept

    def example(self, rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """x: (m, c h w), and labels that fit the loss."""
        y = example_labels(self.loss, rng, samples, self.sizes[-1])
        return rng.random((samples, self.sizes[0])), y

    def shapes_of_masks(self, samples: int) -> dict[str, tuple[int, ...]]:
        """drop.mask: (m, channels of the last block)"""
        return {"drop.mask": (samples, self.sizes[-2])}

    def _activation(self, name: str) -> tuple[Function, Function]:
        return activation(name, negative_slope=self.negative_slope, approximate=self.approximate)

    def _normed(self, t: Tensors, bn: str, conv: np.ndarray, p: Arrays) -> None:
        """t[bn] and the running statistics after it, of what a convolution made."""
        mean, var = f"{bn}.running_mean", f"{bn}.running_var"
        t[bn], t[mean], t[var] = batch_norm(
            conv, p[mean], p[var], p[f"{bn}.weight"], p[f"{bn}.bias"], training=self.training
        )

    def _normed_backward(self, g: Tensors, bn: str, conv: str, t: Arrays, p: Arrays) -> None:
        """g of what the norm read and of its parameters, from g[bn]."""
        g[conv], g[f"{bn}.weight"], g[f"{bn}.bias"] = batch_norm_backward(
            g[bn], t[conv], p[f"{bn}.running_mean"], p[f"{bn}.running_var"], p[f"{bn}.weight"],
            training=self.training,
        )  # fmt: skip

    def forward(self, params: Arrays, x: np.ndarray, masks: Arrays) -> Tensors:
        """[m, c h w] -> input, images, conv1, bn1, act1, blocks.0.conv1, ..., pool, ..., output"""
        p, t = params, Tensors()
        g, _ = self._activation(self.activation)
        output, _ = self._activation(self.output)

        t["input"] = identity(x)
        t["images"] = reshape(t["input"], shape=(-1, *self.sample_shape))
        t["conv1"] = conv2d_no_bias(t["images"], p["conv1.weight"], padding=1)
        self._normed(t, "bn1", t["conv1"], p)
        t["act1"] = h = g(t["bn1"])  # [m, channels, h, w]
        for b, read, made in self._blocks():
            stride = 1 if read == made else 2
            t[f"{b}.conv1"] = conv2d_no_bias(h, p[f"{b}.conv1.weight"], stride=stride, padding=1)
            self._normed(t, f"{b}.bn1", t[f"{b}.conv1"], p)
            t[f"{b}.act1"] = g(t[f"{b}.bn1"])
            t[f"{b}.conv2"] = conv2d_no_bias(t[f"{b}.act1"], p[f"{b}.conv2.weight"], padding=1)
            self._normed(t, f"{b}.bn2", t[f"{b}.conv2"], p)
            if read != made:
                conv, bn = f"{b}.downsample.0", f"{b}.downsample.1"
                t[conv] = conv2d_no_bias(h, p[f"{conv}.weight"], stride=2)
                self._normed(t, bn, t[conv], p)
                h = t[bn]
            t[f"{b}.sum"] = h + t[f"{b}.bn2"]  # the shortcut, and the branch
            t[b] = h = g(t[f"{b}.sum"])
        t["pool"] = adaptive_avg_pool2d(h, output_size=1)  # [m, channels, 1, 1]
        t["flat"] = reshape(t["pool"], shape=(-1, self.sizes[-2]))
        mask = masks.get("drop.mask")
        t["drop"] = identity(t["flat"]) if mask is None else dropout(t["flat"], mask)
        t["head"] = linear(t["drop"], p["head.weight"], p["head.bias"])
        t["output"] = output(t["head"])
        return t

    def backward(self, params: Arrays, t: Arrays, y: np.ndarray, masks: Arrays) -> Tensors:
        """From the output back to conv1. g[name] is d cost / d name; it is called name.grad."""
        p, g = params, Tensors()
        _, output_backward = self._activation(self.output)
        _, g_backward = self._activation(self.activation)
        blocks = list(self._blocks())
        inputs = ["act1", *(b for b, _, _ in blocks)]

        g["output"] = loss_gradient(self, t["output"], y)
        g["head"] = output_backward(g["output"], t["head"])
        g["drop"], g["head.weight"], g["head.bias"] = linear_backward(
            g["head"], t["drop"], p["head.weight"]
        )
        mask = masks.get("drop.mask")
        g["flat"] = (
            identity_backward(g["drop"], t["flat"])
            if mask is None
            else dropout_backward(g["drop"], mask)
        )
        g["pool"] = reshape_backward(g["flat"], t["pool"])
        h = inputs.pop()
        g[h] = adaptive_avg_pool2d_backward(g["pool"], t[h], output_size=1)
        for b, read, made in reversed(blocks):
            h, stride = inputs.pop(), 1 if read == made else 2
            shortcut = h if read == made else f"{b}.downsample.1"
            g[f"{b}.sum"] = g_backward(g[b], t[f"{b}.sum"])
            dh, g[f"{b}.bn2"] = add_backward(g[f"{b}.sum"], t[shortcut], t[f"{b}.bn2"])
            if read != made:
                conv, bn = f"{b}.downsample.0", f"{b}.downsample.1"
                g[bn] = dh
                self._normed_backward(g, bn, conv, t, p)
                dh, g[f"{conv}.weight"] = conv2d_no_bias_backward(
                    g[conv], t[h], p[f"{conv}.weight"], stride=2
                )
            self._normed_backward(g, f"{b}.bn2", f"{b}.conv2", t, p)
            g[f"{b}.act1"], g[f"{b}.conv2.weight"] = conv2d_no_bias_backward(
                g[f"{b}.conv2"], t[f"{b}.act1"], p[f"{b}.conv2.weight"], padding=1
            )
            g[f"{b}.bn1"] = g_backward(g[f"{b}.act1"], t[f"{b}.bn1"])
            self._normed_backward(g, f"{b}.bn1", f"{b}.conv1", t, p)
            dh_branch, g[f"{b}.conv1.weight"] = conv2d_no_bias_backward(
                g[f"{b}.conv1"], t[h], p[f"{b}.conv1.weight"], stride=stride, padding=1
            )
            g[h] = dh + dh_branch  # h is read twice: its gradient is the sum
        g["bn1"] = g_backward(g["act1"], t["bn1"])
        self._normed_backward(g, "bn1", "conv1", t, p)
        g["conv1.weight"] = conv2d_no_bias_backward_parameters(
            g["conv1"], t["images"], p["conv1.weight"], padding=1
        )
        return gradients_of_the_cost(self, params, g)
