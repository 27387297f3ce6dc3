"""A multilayer perceptron: layer after layer, under the course's names.

h0 = x, then per layer l  z (linear), a (activation), h (after dropout); gradients are d + name. The
output layer has no dropout, so the network ends at a.

Source: course week 4, "deep L-layer neural network"; torch.nn.Sequential.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from torch_parity.manual.losses.reduction import Reduction
from torch_parity.manual.losses.regularization import penalty_backward
from torch_parity.manual.models.step import Tensors, example_labels, loss_gradient
from torch_parity.manual.names import COURSE, Names
from torch_parity.manual.operations import Function, activation
from torch_parity.manual.ops.dropout import dropout, dropout_backward
from torch_parity.manual.ops.identity import identity, identity_backward
from torch_parity.manual.ops.linear import linear, linear_backward, linear_backward_parameters
from torch_parity.manual.ops.linear_no_bias import (
    linear_no_bias,
    linear_no_bias_backward,
    linear_no_bias_backward_parameters,
)


@dataclass(frozen=True)
class MLP:
    """sizes is (n_in, hidden..., n_out). activation is that of all hidden layers, or one for each,
    with commas between; without bias there are no b. For loss, reduction, l1, l2 and m see Model
    (step.py).
    """

    sizes: tuple[int, ...]
    activation: str = "relu"
    output: str = "identity"
    bias: bool = True
    loss: str = "cross_entropy"
    reduction: Reduction = "mean"
    negative_slope: float = 0.01
    approximate: str = "none"
    l1: float = 0.0
    l2: float = 0.0
    m: float = 1
    share: float = 1.0
    names: ClassVar[Names] = COURSE

    @property
    def description(self) -> str:
        """The model in words, for the first line of a report."""
        sizes = "-".join(map(str, self.sizes))
        return f"network {sizes} ({self.activation}, {self.output} output)"

    @property
    def depth(self) -> int:
        """The number of layers with weights."""
        return len(self.sizes) - 1

    @property
    def result(self) -> str:
        """The last activation."""
        return f"a{self.depth}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """W1: (n_1, n_0), b1: (n_1,), W2..."""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, (n_in, n_out) in enumerate(zip(self.sizes, self.sizes[1:], strict=False), 1):
            shapes |= {f"W{layer}": (n_out, n_in)}
            shapes |= {f"b{layer}": (n_out,)} if self.bias else {}
        return shapes

    def example(self, rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """x: (m, n_in), and labels that fit the loss."""
        y = example_labels(self.loss, rng, samples, self.sizes[-1])
        return rng.random((samples, self.sizes[0])), y

    def shapes_of_masks(self, samples: int) -> dict[str, tuple[int, ...]]:
        """mask1: (m, n_1), mask2...; the output layer has none."""
        return {f"mask{k}": (samples, n) for k, n in enumerate(self.sizes[1:-1], 1)}

    def activation_of(self, layer: int) -> tuple[Function, Function]:
        """(forward, backward) of one layer, counted from 1."""
        hidden = self.activation.split(",")
        own = hidden[layer - 1 if len(hidden) > 1 else 0] if layer < self.depth else self.output
        return activation(own, negative_slope=self.negative_slope, approximate=self.approximate)

    def forward(
        self, params: Mapping[str, np.ndarray], x: np.ndarray, masks: Mapping[str, np.ndarray]
    ) -> Tensors:
        """h0 = x;  z = linear(h, W, b);  a = g(z);  h = a * mask   # [m, n_in] -> h0, z1, a1, h1...

        masks holds mask1, mask2... while training; evaluation passes {} and then h = a.
        """
        t: Tensors = {"h0": identity(x)}
        for layer in range(1, self.depth + 1):
            g, _ = self.activation_of(layer)
            z, a, h, mask = f"z{layer}", f"a{layer}", f"h{layer}", f"mask{layer}"
            below, W = t[f"h{layer - 1}"], params[f"W{layer}"]
            t[z] = linear(below, W, params[f"b{layer}"]) if self.bias else linear_no_bias(below, W)
            t[a] = g(t[z])
            if layer < self.depth:
                t[h] = dropout(t[a], masks[mask]) if mask in masks else identity(t[a])
        return t

    def backward(
        self,
        params: Mapping[str, np.ndarray],
        t: Mapping[str, np.ndarray],
        y: np.ndarray,
        masks: Mapping[str, np.ndarray],
    ) -> Tensors:
        """From the last layer to the first: da, dz, dW, db, and dh of the layer before.

        dW is the gradient of the cost; where there is a penalty, dW_loss (the part that comes from
        the loss alone) stands before it.
        """
        depth = self.depth
        g: Tensors = {f"da{depth}": loss_gradient(self, t[f"a{depth}"], y)}
        for layer in range(depth, 0, -1):
            _, activation_backward = self.activation_of(layer)
            if layer < depth:
                dh, mask = g[f"dh{layer}"], masks.get(f"mask{layer}")
                g[f"da{layer}"] = (
                    dropout_backward(dh, mask)
                    if mask is not None
                    else identity_backward(dh, t[f"a{layer}"])
                )
            dz = g[f"dz{layer}"] = activation_backward(g[f"da{layer}"], t[f"z{layer}"])
            h, W = t[f"h{layer - 1}"], params[f"W{layer}"]
            db = None
            if layer > 1 and self.bias:
                g[f"dh{layer - 1}"], dW, db = linear_backward(dz, h, W)
            elif layer > 1:
                g[f"dh{layer - 1}"], dW = linear_no_bias_backward(dz, h, W)
            elif self.bias:
                dW, db = linear_backward_parameters(dz, h)
            else:
                dW = linear_no_bias_backward_parameters(dz, h)
            penalised = bool(self.l1 or self.l2)
            g[f"dW{layer}_loss" if penalised else f"dW{layer}"] = dW
            if db is not None:
                g[f"db{layer}"] = db
            if penalised:
                g[f"dW{layer}"] = penalty_backward(dW, W, l1=self.l1, l2=self.l2, m=self.m)
        return g
