"""Which of torch's tensors is which of the hand-written model's: nothing is named in the module.

The hand-written model calls what a module returns by the module's path, so most names are found by
path. What only lies between two modules (the sum in front of an activation) is found as the input
of the module that does the same operation, and returns what the model calls the next tensor.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from torch_parity import manual
from torch_parity.compare.errors import InputError
from torch_parity.compare.flow.nodes import Node
from torch_parity.compare.register import OPERATIONS
from torch_parity.manual.models.step import buffers_of
from torch_parity.torch_ref.trace import Names


def parameters(net: manual.Model, module: nn.Module) -> dict[str, nn.Parameter]:
    """The module's parameters under the hand-written model's names, which have the same order.

    Raises:
        InputError: the two do not have the same parameters.
    """
    shapes, found = net.shapes(), dict(module.named_parameters())
    theirs = [tuple(p.shape) for p in found.values()]
    if list(shapes.values()) != theirs:
        raise InputError(
            f"the two sides have different parameters: by hand {shapes}, in torch "
            f"{dict(zip(found, theirs, strict=True))}"
        )
    return dict(zip(shapes, found.values(), strict=True))


def buffers(net: manual.Model, module: nn.Module) -> dict[str, Tensor]:
    """The module's running statistics, which the hand-written model calls by torch's names.

    Raises:
        InputError: the two do not keep the same statistics.
    """
    shapes = {name: a.shape for name, a in buffers_of(net).items()}
    found = {n: b for n, b in module.named_buffers() if b.is_floating_point()}
    theirs = {name: tuple(b.shape) for name, b in found.items()}
    if shapes != theirs:
        raise InputError(
            f"the two sides keep different statistics: by hand {shapes}, in torch {theirs}"
        )
    return found


def names_for(net: manual.Model, module: nn.Module, forward: Sequence[Node], x: Tensor) -> Names:
    """What the tensors of a step of this module are called; forward are the nodes of the model, and
    x is any input that fits."""
    made = {node.outputs[0] for node in forward}
    paths = {path for path, _ in module.named_modules() if path in made}
    begins = next(n for n in forward if n.operation == "identity" and n.inputs == ("x",))
    masks = {n.outputs[0]: n.inputs[1] for n in forward if n.operation == "dropout"}
    names = net.names
    return Names(
        input=begins.outputs[0],
        outputs=_outputs(net, forward, paths),
        masks={path: mask for path, mask in masks.items() if path in paths},
        gradient=names.gradient,
        loss_gradient=names.loss_gradient,
        slot=names.slot,
        inputs=_between(module, forward, paths, begins.outputs[0], x),
    )


def _outputs(
    net: manual.Model, forward: Sequence[Node], paths: set[str]
) -> dict[str, tuple[str, ...]]:
    """What each module returns, by its path, which is all but new running statistics; the whole
    module, whose path is empty, the result."""
    by_path = {
        node.outputs[0]: tuple(OPERATIONS[node.operation].continued(node.outputs))
        for node in forward
        if node.outputs[0] in paths
    }
    return by_path if net.result in paths else by_path | {"": (net.result,)}


def _between(
    module: nn.Module, forward: Sequence[Node], paths: set[str], first: str, x: Tensor
) -> dict[str, str]:
    """By path of a module, the name of its input, where no module's path is that name."""
    calls: list[tuple[str, type, Tensor]] = []  # path, class, output
    at: dict[int, str] = {}  # of each tensor that a path names
    handles = []

    def returned(path: str, m: nn.Module, args: Any, out: Any) -> None:
        if isinstance(out, Tensor):
            calls.append((path, type(m), out))
            if path in paths:
                at[id(out)] = path

    for path, m in module.named_modules():
        handles.append(m.register_forward_hook(lambda *call, path=path: returned(path, *call)))
    training, statistics = module.training, {n: b.clone() for n, b in module.named_buffers()}
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        module.train()
        module(x)
        for name, kept in module.named_buffers():  # the forward has moved the running statistics
            kept.copy_(statistics[name])
    module.train(training)
    for handle in handles:
        handle.remove()
    makers = {node.outputs[0]: node for node in forward}
    found: dict[str, str] = {}
    for path, kind, out in calls:
        node = makers.get(path if path in paths else at.get(id(out), ""))
        if node is None or not OPERATIONS[node.operation].is_done_by(kind):
            continue
        read = node.inputs[0]
        if read in makers and read not in paths and read != first:
            found[path] = read
    return found
