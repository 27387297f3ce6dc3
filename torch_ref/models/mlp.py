"""A multilayer perceptron in torch: an nn.Sequential whose children are named after their outputs.

The training step is step.py beside this file.
"""

from collections import OrderedDict
from itertools import pairwise

from torch import nn

from torch_parity.torch_ref.operations import activation as activation_of
from torch_parity.torch_ref.ops.dropout import dropout
from torch_parity.torch_ref.ops.linear import linear
from torch_parity.torch_ref.ops.linear_no_bias import linear_no_bias


class MLP(nn.Sequential):
    """z1, a1, h1, z2, a2, h2... ending at a; sizes is (n_in, hidden..., n_out). activation is that
    of all hidden layers, or one for each, with commas between."""

    def __init__(
        self,
        sizes: tuple[int, ...],
        activation: str = "relu",
        output: str = "identity",
        negative_slope: float = 0.01,
        approximate: str = "none",
        p: float = 0.0,
        bias: bool = True,
    ) -> None:
        options = {"negative_slope": negative_slope, "approximate": approximate}
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        depth, hidden = len(sizes) - 1, activation.split(",")
        for layer, (n_in, n_out) in enumerate(pairwise(sizes), start=1):
            last = layer == depth
            own = output if last else hidden[layer - 1 if len(hidden) > 1 else 0]
            layers[f"z{layer}"] = linear(n_in, n_out) if bias else linear_no_bias(n_in, n_out)
            layers[f"a{layer}"] = activation_of(own, **options)
            if not last:
                layers[f"h{layer}"] = dropout(p)
        super().__init__(layers)
