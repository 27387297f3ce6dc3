"""What torch computes on the way, by name: hooks see every tensor, and keep copies.

Copies, never the tensors themselves: an in-place operation or the next update would change them.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from torch_parity.torch_ref.ops.dropout import FixedDropout, generator_of, recover_mask


class Recorder(ExitStack):
    """While open, keeps the output of each child of a network, its gradient, and dropout masks.

    The name of a child is the name of its output (z1, a1, h1...), so its gradient is d + name. The
    input of the network is h0, the mask of the dropout that makes h1 is mask1.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.tensors: dict[str, Tensor] = {}
        self.masks: dict[str, Tensor] = {}

    def __enter__(self) -> Self:
        self.enter_context(self.net.register_forward_pre_hook(self._input))
        for name, module in self.net.named_children():
            if isinstance(module, nn.Dropout):
                self._watch_dropout(name, module)
            elif isinstance(module, FixedDropout):
                self.masks["mask" + name.removeprefix("h")] = module.mask
            self.enter_context(module.register_forward_hook(partial(self._output, name)))
        return self

    def _input(self, net: nn.Module, args: tuple[Tensor, ...]) -> None:
        self.tensors["h0"] = args[0].detach().clone()

    def _output(self, name: str, module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        self.tensors[name] = out.detach().clone()
        if out.requires_grad:
            out.register_hook(partial(self._gradient, name))  # type: ignore[no-untyped-call]

    def _gradient(self, name: str, gradient: Tensor) -> None:
        self.tensors["d" + name] = gradient.detach().clone()

    def _watch_dropout(self, name: str, module: nn.Dropout) -> None:
        """The generator as it stood before the draw is all it takes to draw the mask again."""
        before: list[Tensor] = []

        def remember(module: nn.Dropout, args: Any) -> None:
            before.append(generator_of(args[0].device).get_state())

        def recover(module: nn.Dropout, args: tuple[Tensor, ...], out: Tensor) -> None:
            state = before.pop()
            if module.training:
                mask = recover_mask(module.p, state, args[0])
                self.masks["mask" + name.removeprefix("h")] = mask

        self.enter_context(module.register_forward_pre_hook(remember))
        self.enter_context(module.register_forward_hook(recover))


def flow_order(depth: int, penalised: bool) -> Iterator[str]:
    """Every name that a step of this many layers can yield, in the order it computes them."""
    yield "h0"
    for layer in range(1, depth + 1):
        yield from (f"z{layer}", f"a{layer}", f"h{layer}")
    yield from ("loss", "penalty", "cost")
    for layer in range(depth, 0, -1):
        yield from (f"da{layer}", f"dz{layer}", f"dh{layer - 1}")
        dW, db = f"dW{layer}", f"db{layer}"
        yield from (dW + "_loss", db, dW) if penalised else (dW, db)
    for layer in range(1, depth + 1):
        for parameter in (f"W{layer}", f"b{layer}"):
            yield from (f"t{parameter}", f"v{parameter}", f"s{parameter}", parameter)


def gradient(parameter: Tensor) -> Tensor:
    """parameter.grad, which is None until a backward pass has reached the parameter."""
    if parameter.grad is None:
        raise RuntimeError("no gradient yet: call backward first, and check requires_grad")
    return parameter.grad


def state(
    optimizer: torch.optim.Optimizer,
    slots: Callable[[dict[str, Any], dict[str, Any]], dict[str, Tensor]],
    params: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Copies of what the optimizer remembers, by name: vW1, vb1... Empty before its first step."""
    names = {p: name for name, p in params.items()}
    return {
        slot + names[p]: value.detach().clone()
        for group in optimizer.param_groups
        for p in group["params"]
        if p in optimizer.state
        for slot, value in slots(optimizer.state[p], group).items()
    }
