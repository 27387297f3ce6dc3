"""A network of any depth in torch: an nn.Sequential whose children are named after their outputs.

Everything that manual/models/mlp.py spells out is here in four lines of `step`: zero_grad, forward,
backward, optimizer step. The rest of this file only gives the tensors their names.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from torch_parity.torch_ref.losses.binary_cross_entropy import binary_cross_entropy
from torch_parity.torch_ref.losses.binary_cross_entropy_with_logits import (
    binary_cross_entropy_with_logits,
)
from torch_parity.torch_ref.losses.cross_entropy import cross_entropy
from torch_parity.torch_ref.losses.mse_loss import mse_loss
from torch_parity.torch_ref.losses.regularization import Penalty
from torch_parity.torch_ref.ops.dropout import dropout
from torch_parity.torch_ref.ops.identity import identity
from torch_parity.torch_ref.ops.leaky_relu import leaky_relu
from torch_parity.torch_ref.ops.linear import linear
from torch_parity.torch_ref.ops.relu import relu
from torch_parity.torch_ref.ops.sigmoid import sigmoid
from torch_parity.torch_ref.ops.softmax import softmax
from torch_parity.torch_ref.ops.tanh import tanh
from torch_parity.torch_ref.optimizers import adam, momentum, sgd
from torch_parity.torch_ref.trace import Recorder, flow_order, gradient, state

Tensors = dict[str, Tensor]
Slots = Callable[[dict[str, Any], dict[str, Any]], Tensors]

ACTIVATIONS: dict[str, Callable[..., nn.Module]] = {
    "sigmoid": sigmoid,
    "tanh": tanh,
    "relu": relu,
    "leaky_relu": leaky_relu,
    "identity": identity,
    "softmax": softmax,
}
LOSSES: dict[str, Callable[[str], nn.Module]] = {
    "binary_cross_entropy": binary_cross_entropy,
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
    "cross_entropy": cross_entropy,
    "mse_loss": mse_loss,
}
OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], Slots]] = {
    "sgd": (sgd.sgd, sgd.slots),
    "momentum": (momentum.momentum, momentum.slots),
    "momentum_course": (momentum.momentum_course, momentum.slots_course),
    "adam": (adam.adam, adam.slots),
}


class Network(nn.Sequential):
    """z1, a1, h1, z2, a2, h2... ending at a; sizes is (n_in, hidden..., n_out)."""

    def __init__(
        self,
        sizes: tuple[int, ...],
        activation: str = "relu",
        output: str = "identity",
        negative_slope: float = 0.01,
        p: float = 0.0,
    ) -> None:
        def activate(name: str) -> nn.Module:
            slope = {"negative_slope": negative_slope} if name == "leaky_relu" else {}
            return ACTIVATIONS[name](**slope)

        self.depth = depth = len(sizes) - 1
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for layer in range(1, depth + 1):
            layers[f"z{layer}"] = linear(sizes[layer - 1], sizes[layer])
            layers[f"a{layer}"] = activate(activation if layer < depth else output)
            if layer < depth:
                layers[f"h{layer}"] = dropout(p)
        super().__init__(layers)

    def named_tensors(self) -> Tensors:
        """The parameters under the course's names: W1, b1, W2, b2..."""
        kinds = {"weight": "W", "bias": "b"}
        split = ((name.split("."), p) for name, p in self.named_parameters())
        return {kinds[kind] + child.removeprefix("z"): p for (child, kind), p in split}


def step(
    net: Network,
    criterion: nn.Module,
    optimizer: torch.optim.Optimizer,
    slots: Slots,
    penalty: Penalty,
    x: Tensor,
    y: Tensor,
    wrapper: nn.Module | None = None,
) -> tuple[Tensors, Tensors]:
    """One training step -> (every tensor by name in flow order, the dropout masks it drew).

    slots names what the optimizer remembers of a parameter; wrapper is what to call in place of
    net, such as DistributedDataParallel(net). A forward pass that ends in NaN or
    infinity ends the step, and the trace, there: no loss has a meaning then. The penalty runs its
    backward after the loss, which adds up to the backward of their sum and shows the two shares
    apart.
    """
    params = net.named_tensors()
    weights = {name: p for name, p in params.items() if name.startswith("W")}

    net.train()
    optimizer.zero_grad()
    with Recorder(net) as recorder:
        output = (wrapper or net)(x)
        if not output.isfinite().all():
            return recorder.tensors, recorder.masks
        loss = criterion(output, y)
    loss.backward()
    t = recorder.tensors | {"loss": loss.detach().clone()}
    penalised = bool(penalty.l1 or penalty.l2)
    if penalised:
        t |= {f"d{name}_loss": gradient(W).clone() for name, W in weights.items()}
        t["penalty"] = penalty.value(list(weights.values())).detach()
        t["cost"] = t["loss"] + t["penalty"]
        in_loss = penalty.in_loss(list(weights.values()))
        if in_loss is not None:
            in_loss.backward()  # type: ignore[no-untyped-call]
    t |= {"d" + name: gradient(p).clone() for name, p in params.items()}
    t |= {
        f"d{name}": t[f"d{name}"].add(W, alpha=penalty.weight_decay) for name, W in weights.items()
    }
    optimizer.step()
    t |= {name: p.detach().clone() for name, p in params.items()}
    t |= state(optimizer, slots, params)
    order = flow_order(net.depth, penalised)
    return {name: t[name].detach() for name in order if name in t}, recorder.masks
