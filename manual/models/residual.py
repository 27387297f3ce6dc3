"""A residual network: each block adds something to what it was given, so that gradients have a
short way back through any number of blocks.

    h = stem(x);  h = g(h + s * fc2(dropout(g(fc1(h)))))  for each block;  head(h)

s scales the branch. Tensors are called by torch's module paths: blocks.0.fc1 is what the module
blocks.0.fc1 returns, blocks.0.fc1.grad is its gradient.

Source: He et al. 2015, "Deep residual learning for image recognition", figure 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torch_parity.manual.losses.reduction import Reduction
from torch_parity.manual.models.step import (
    Tensors,
    example_labels,
    gradients_of_the_cost,
    loss_gradient,
)
from torch_parity.manual.names import MODULE_PATHS, Names
from torch_parity.manual.operations import Function, activation
from torch_parity.manual.ops.add import add_backward
from torch_parity.manual.ops.dropout import dropout, dropout_backward
from torch_parity.manual.ops.identity import identity, identity_backward
from torch_parity.manual.ops.linear import linear, linear_backward, linear_backward_parameters
from torch_parity.manual.ops.scale import scale, scale_backward


@dataclass(frozen=True)
class Residual:
    """sizes is (n_in, width, a block's inner width..., n_out): one block for each number after the
    width. For loss, reduction, l1, l2 and m see Model (step.py)."""

    sizes: tuple[int, ...]
    activation: str = "relu"
    output: str = "identity"
    loss: str = "cross_entropy"
    reduction: Reduction = "mean"
    negative_slope: float = 0.01
    approximate: str = "none"
    branch_scale: float = 1.0
    l1: float = 0.0
    l2: float = 0.0
    m: float = 1
    share: float = 1.0
    names: ClassVar[Names] = MODULE_PATHS
    result: ClassVar[str] = "output"

    def __post_init__(self) -> None:
        if len(self.sizes) < 4:
            raise ValueError(
                f"Residual: sizes are {self.sizes}, expected (n_in, width, inner..., n_out): at "
                "least one block"
            )

    @property
    def description(self) -> str:
        """The model in words, for the first line of a report."""
        n_in, width, *inner, n_out = self.sizes
        return (
            f"residual network: {n_in} inputs, width {width}, blocks of inner width "
            f"{', '.join(map(str, inner))}, {n_out} outputs ({self.activation}, {self.output} "
            "output)"
        )

    @property
    def blocks(self) -> list[str]:
        """The blocks' names: blocks.0, blocks.1..."""
        return [f"blocks.{i}" for i in range(len(self.sizes) - 3)]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """stem.weight: (width, n_in), stem.bias: (width,), blocks.0.fc1.weight..."""
        n_in, width, *inner, n_out = self.sizes
        layers = {"stem": (width, n_in)}
        for block, n in zip(self.blocks, inner, strict=True):
            layers |= {f"{block}.fc1": (n, width), f"{block}.fc2": (width, n)}
        layers["head"] = (n_out, width)
        shapes: dict[str, tuple[int, ...]] = {}
        for name, shape in layers.items():
            shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        return shapes

    def example(self, rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """x: (m, n_in), and labels that fit the loss."""
        y = example_labels(self.loss, rng, samples, self.sizes[-1])
        return rng.random((samples, self.sizes[0])), y

    def shapes_of_masks(self, samples: int) -> dict[str, tuple[int, ...]]:
        """blocks.0.drop.mask: (m, inner width)..."""
        inner = zip(self.blocks, self.sizes[2:-1], strict=True)
        return {f"{block}.drop.mask": (samples, n) for block, n in inner}

    def _activation(self, name: str) -> tuple[Function, Function]:
        return activation(name, negative_slope=self.negative_slope, approximate=self.approximate)

    def forward(
        self, params: Mapping[str, np.ndarray], x: np.ndarray, masks: Mapping[str, np.ndarray]
    ) -> Tensors:
        """[m, n_in] -> input, stem, blocks.0.fc1, blocks.0.act1, ..., head, output"""
        p, t = params, Tensors()
        g, _ = self._activation(self.activation)
        output, _ = self._activation(self.output)

        t["input"] = identity(x)
        t["stem"] = h = linear(t["input"], p["stem.weight"], p["stem.bias"])
        for b in self.blocks:
            t[f"{b}.fc1"] = linear(h, p[f"{b}.fc1.weight"], p[f"{b}.fc1.bias"])
            t[f"{b}.act1"] = a = g(t[f"{b}.fc1"])
            mask = masks.get(f"{b}.drop.mask")
            t[f"{b}.drop"] = identity(a) if mask is None else dropout(a, mask)
            t[f"{b}.fc2"] = linear(t[f"{b}.drop"], p[f"{b}.fc2.weight"], p[f"{b}.fc2.bias"])
            t[f"{b}.scale"] = scale(t[f"{b}.fc2"], factor=self.branch_scale)
            t[f"{b}.sum"] = h + t[f"{b}.scale"]  # the shortcut, and the branch
            t[b] = h = g(t[f"{b}.sum"])
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
        """From the output back to the stem. g[name] is d cost / d name; it is called name.grad."""
        p, g = params, Tensors()
        _, output_backward = self._activation(self.output)
        _, g_backward = self._activation(self.activation)
        inputs = dict(zip((*self.blocks, "head"), ("stem", *self.blocks), strict=True))

        g["output"] = loss_gradient(self, t["output"], y)
        g["head"] = output_backward(g["output"], t["head"])
        h = inputs["head"]
        g[h], g["head.weight"], g["head.bias"] = linear_backward(g["head"], t[h], p["head.weight"])
        for b in reversed(self.blocks):
            h, mask = inputs[b], masks.get(f"{b}.drop.mask")
            g[f"{b}.sum"] = g_backward(g[b], t[f"{b}.sum"])
            dh_shortcut, g[f"{b}.scale"] = add_backward(g[f"{b}.sum"], t[h], t[f"{b}.scale"])
            g[f"{b}.fc2"] = scale_backward(g[f"{b}.scale"], factor=self.branch_scale)
            g[f"{b}.drop"], g[f"{b}.fc2.weight"], g[f"{b}.fc2.bias"] = linear_backward(
                g[f"{b}.fc2"], t[f"{b}.drop"], p[f"{b}.fc2.weight"]
            )
            g[f"{b}.act1"] = (
                identity_backward(g[f"{b}.drop"], t[f"{b}.act1"])
                if mask is None
                else dropout_backward(g[f"{b}.drop"], mask)
            )
            g[f"{b}.fc1"] = g_backward(g[f"{b}.act1"], t[f"{b}.fc1"])
            dh_branch, g[f"{b}.fc1.weight"], g[f"{b}.fc1.bias"] = linear_backward(
                g[f"{b}.fc1"], t[h], p[f"{b}.fc1.weight"]
            )
            g[h] = dh_shortcut + dh_branch  # h is read twice: its gradient is the sum
        g["stem.weight"], g["stem.bias"] = linear_backward_parameters(g["stem"], t["input"])
        return gradients_of_the_cost(self, params, g)
