"""A network of any depth: forward, backward and one training step, every tensor kept by name.

Names: h0 = x, then per layer l  z (linear), a (activation), h (after dropout); gradients are d +
name. The output layer has no dropout, so it ends at a. Dictionaries are in the order in which the
step computes them, and no array in them shares memory with another or with an argument.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from torch_parity.manual.losses.binary_cross_entropy import (
    binary_cross_entropy,
    binary_cross_entropy_backward,
)
from torch_parity.manual.losses.binary_cross_entropy_with_logits import (
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_backward,
)
from torch_parity.manual.losses.cross_entropy import cross_entropy, cross_entropy_backward
from torch_parity.manual.losses.mse_loss import mse_loss, mse_loss_backward
from torch_parity.manual.losses.reduction import Reduction
from torch_parity.manual.losses.regularization import (
    l1_penalty,
    l1_penalty_backward,
    l2_penalty,
    l2_penalty_backward,
)
from torch_parity.manual.ops.dropout import dropout, dropout_backward
from torch_parity.manual.ops.identity import identity, identity_backward
from torch_parity.manual.ops.leaky_relu import leaky_relu, leaky_relu_backward
from torch_parity.manual.ops.linear import linear, linear_backward, linear_backward_parameters
from torch_parity.manual.ops.relu import relu, relu_backward
from torch_parity.manual.ops.sigmoid import sigmoid, sigmoid_backward
from torch_parity.manual.ops.softmax import softmax, softmax_backward
from torch_parity.manual.ops.tanh import tanh, tanh_backward

Tensors = dict[str, np.ndarray]
Function = Callable[..., np.ndarray]

ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "sigmoid": (sigmoid, sigmoid_backward),
    "tanh": (tanh, tanh_backward),
    "relu": (relu, relu_backward),
    "leaky_relu": (leaky_relu, leaky_relu_backward),
    "identity": (identity, identity_backward),
    "softmax": (softmax, softmax_backward),
}
LOSSES: dict[str, tuple[Function, Function]] = {
    "binary_cross_entropy": (
        binary_cross_entropy,
        binary_cross_entropy_backward,
    ),
    "binary_cross_entropy_with_logits": (
        binary_cross_entropy_with_logits,
        binary_cross_entropy_with_logits_backward,
    ),
    "cross_entropy": (cross_entropy, cross_entropy_backward),
    "mse_loss": (mse_loss, mse_loss_backward),
}


class Optimizer(Protocol):
    """What a step asks of an optimizer: what it remembers of a parameter, and one update."""

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of what it remembers, such as v and s."""

    def initial(self, W: np.ndarray) -> tuple[np.ndarray, ...]:
        """The slots before the first step."""

    @property
    def update(self) -> Callable[..., tuple[np.ndarray, ...]]:
        """update(W, dW, *slots) -> W', then the slots after this step."""


@dataclass(frozen=True)
class Network:
    """What to compute; the numbers (parameters, masks, optimizer state) are always arguments.

    sizes is (n_in, hidden..., n_out); l1 and l2 are the course's lambda, m the fixed sample count
    they are divided by.
    """

    sizes: tuple[int, ...]
    activation: str = "relu"
    output: str = "identity"
    loss: str = "cross_entropy"
    reduction: Reduction = "mean"
    negative_slope: float = 0.01
    l1: float = 0.0
    l2: float = 0.0
    m: int = 1

    @property
    def depth(self) -> int:
        """The number of layers with weights."""
        return len(self.sizes) - 1

    def activation_of(self, layer: int) -> tuple[Function, Function]:
        """(forward, backward) of one layer, counted from 1."""
        name = self.activation if layer < self.depth else self.output
        forward, backward = ACTIVATIONS[name]
        if name == "leaky_relu":
            slope = {"negative_slope": self.negative_slope}
            return partial(forward, **slope), partial(backward, **slope)
        return forward, backward


def forward(
    net: Network, params: Mapping[str, np.ndarray], x: np.ndarray, masks: Mapping[str, np.ndarray]
) -> Tensors:
    """h0 = x;  z = linear(h, W, b);  a = g(z);  h = a * mask      # [m, n_in] -> h0, z1, a1, h1...

    masks holds mask1, mask2... while training; evaluation passes {} and then h = a.
    """
    t: Tensors = {"h0": x.copy()}
    for layer in range(1, net.depth + 1):
        activation, _ = net.activation_of(layer)
        z, a, h = f"z{layer}", f"a{layer}", f"h{layer}"
        t[z] = linear(t[f"h{layer - 1}"], params[f"W{layer}"], params[f"b{layer}"])
        t[a] = activation(t[z])
        if layer < net.depth:
            mask = masks.get(f"mask{layer}")
            t[h] = t[a].copy() if mask is None else dropout(t[a], mask)
    return t


def cost(
    net: Network, params: Mapping[str, np.ndarray], output: np.ndarray, y: np.ndarray
) -> Tensors:
    """cost = loss(output, y) + penalties of the weights; biases are never penalised.

    Without a penalty the dictionary holds loss alone.
    """
    t: Tensors = {"loss": np.asarray(LOSSES[net.loss][0](output, y, net.reduction))}
    if net.l1 or net.l2:
        weights = [params[f"W{layer}"] for layer in range(1, net.depth + 1)]
        t["penalty"] = np.asarray(
            l1_penalty(weights, net.l1, net.m) + l2_penalty(weights, net.l2, net.m)
        )
        t["cost"] = np.asarray(t["loss"] + t["penalty"])
    return t


def backward(
    net: Network,
    params: Mapping[str, np.ndarray],
    t: Mapping[str, np.ndarray],
    y: np.ndarray,
    masks: Mapping[str, np.ndarray],
) -> Tensors:
    """From the last layer to the first: da, dz, dW, db, and dh of the layer before.

    t is what forward returned. dW is the gradient of the cost; where there is a penalty, dW_loss
    (the part that comes from the loss alone) stands before it.
    """
    depth = net.depth
    g: Tensors = {f"da{depth}": LOSSES[net.loss][1](t[f"a{depth}"], y, net.reduction)}
    for layer in range(depth, 0, -1):
        _, activation_backward = net.activation_of(layer)
        if layer < depth:
            mask = masks.get(f"mask{layer}")
            dh = g[f"dh{layer}"]
            g[f"da{layer}"] = dh.copy() if mask is None else dropout_backward(dh, mask)
        dz = activation_backward(g[f"da{layer}"], t[f"z{layer}"])
        g[f"dz{layer}"] = dz
        h, W = t[f"h{layer - 1}"], params[f"W{layer}"]
        if layer > 1:
            g[f"dh{layer - 1}"], dW, db = linear_backward(dz, h, W)
        else:
            dW, db = linear_backward_parameters(dz, h)
        if not (net.l1 or net.l2):
            g[f"dW{layer}"], g[f"db{layer}"] = dW, db
        else:
            g[f"dW{layer}_loss"], g[f"db{layer}"] = dW, db
            g[f"dW{layer}"] = dW + (
                l1_penalty_backward(W, net.l1, net.m) + l2_penalty_backward(W, net.l2, net.m)
            )
    return g


def initial_state(optimizer: Optimizer, params: Mapping[str, np.ndarray]) -> Tensors:
    """What the optimizer remembers before the first step, by name: vW1, vb1, vW2..."""
    state: Tensors = {}
    for name, p in params.items():
        slots = zip(optimizer.slots, optimizer.initial(p), strict=True)
        state |= {slot + name: value for slot, value in slots}
    return state


def update(
    optimizer: Optimizer,
    params: Mapping[str, np.ndarray],
    g: Mapping[str, np.ndarray],
    state: Mapping[str, np.ndarray],
) -> Tensors:
    """Per parameter what the optimizer remembers, then the new parameter: vW1, W1, vb1, b1..."""
    new: Tensors = {}
    for name, p in params.items():
        slots = [state[slot + name] for slot in optimizer.slots]
        new_p, *new_slots = optimizer.update(p, g["d" + name], *slots)
        new |= {slot + name: value for slot, value in zip(optimizer.slots, new_slots, strict=True)}
        new[name] = new_p
    return new


def step(
    net: Network,
    optimizer: Optimizer,
    params: Mapping[str, np.ndarray],
    state: Mapping[str, np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    masks: Mapping[str, np.ndarray],
) -> Tensors:
    """One training step: forward, cost, backward, update; every tensor, in that order."""
    t = forward(net, params, x, masks)
    t |= cost(net, params, t[f"a{net.depth}"], y)
    t |= backward(net, params, t, y, masks)
    t |= update(optimizer, params, t, state)
    return t
