"""The cost of the torch model as a function of its parameters, with fixed masks, for gradcheck and
forward-mode tangents."""

import copy
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from torch_parity.compare.sources.sides import TorchSide
from torch_parity.torch_ref.ops.dropout import FixedDropout


def torch_cost(
    side: TorchSide, x: np.ndarray, y: np.ndarray, masks: Mapping[str, np.ndarray]
) -> Callable[[Mapping[str, Tensor]], Tensor]:
    """cost({W1, b1...}) = loss + penalties, whichever route the penalty's gradient takes."""
    net = copy.deepcopy(side.net).train()  # batch norm takes the batch's statistics
    for path, name in side.task.names.masks.items():
        if name in masks:
            net.set_submodule(path, FixedDropout(torch.tensor(masks[name])))
        else:
            net.get_submodule(path).eval()
    names = dict(zip(side.parameters, (n for n, _ in net.named_parameters()), strict=True))
    inputs, labels = torch.tensor(x), torch.tensor(y)

    def cost(params: Mapping[str, Tensor]) -> Tensor:
        theirs = {names[n]: p for n, p in params.items()}
        output = torch.func.functional_call(net, theirs, (inputs,))
        loss: Tensor = side.task.criterion(output, labels)
        weights = [p for p in params.values() if p.ndim > 1]
        return loss + side.task.penalty.value(weights)

    return cost
