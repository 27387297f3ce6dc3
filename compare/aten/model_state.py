"""All that the next step of a training begins from, taken from a model and its optimizer, and put
back.

A model is not copied: hooks, closures and whatever else points to it stay in place. One model takes
the steps of several trainings in turn, each from a state of its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from torch_parity.compare.aten.unchanged import (
    deep_copy,
    named_buffers,
    own_attributes,
    plain_attributes,
    set_own_attributes,
    tensor_attributes,
)
from torch_parity.compare.errors import InputError

# Where a tensor of a model is: a parameter is itself, a buffer (or a tensor that is a plain
# attribute) is what its module has by this name.
Key = nn.Parameter | tuple[nn.Module, str]


def keys_of(model: nn.Module) -> dict[str, Key]:
    """Of every parameter, buffer and plain tensor, by name; tied ones have several names."""
    found: dict[str, Key] = dict(model.named_parameters(remove_duplicate=False))
    for name, module, own, _ in (*named_buffers(model), *tensor_attributes(model)):
        found[name] = module, own
    return found


@dataclass(frozen=True)
class ModelState:
    """tensors are copies of parameters and buffers, homes the tensors themselves; attributes are
    the plain ones of each module (its mode, a counter); optimizer is its state by parameter,
    settings those of its groups, own what else it keeps. Nothing but the homes is ever written to.
    """

    tensors: dict[Key, Tensor]
    homes: dict[Key, Tensor]
    gradients: dict[nn.Parameter, Tensor | None]
    attributes: dict[nn.Module, dict[str, Any]]
    optimizer: dict[Any, Any]
    settings: list[dict[str, Any]]
    own: dict[str, Any]

    @classmethod
    def of(cls, model: nn.Module, optimizer: torch.optim.Optimizer) -> Self:
        """The state now.

        Raises:
            InputError: the optimizer keeps something that cannot be copied.
        """
        params = list(model.parameters())
        groups = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
        homes = {key: _home(key) for key in keys_of(model).values()}
        return cls(
            {key: tensor.detach().clone() for key, tensor in homes.items()},
            homes,
            {p: None if p.grad is None else p.grad.detach().clone() for p in params},
            {m: plain_attributes(m) for m in model.modules()},
            _copied(dict(optimizer.state), params),
            _copied(groups, params),
            _copied(own_attributes(optimizer), params),
        )

    def put_into(self, optimizer: torch.optim.Optimizer) -> None:
        """Into the model that it came from, and its optimizer, bit for bit."""
        with torch.no_grad():
            for key, value in self.tensors.items():
                if isinstance(key, tuple):  # a module may have put another tensor in its place
                    setattr(*key, self.homes[key])
                self.homes[key].copy_(value)
        for p, gradient in self.gradients.items():
            p.grad = None if gradient is None else gradient.clone()
        for module, attributes in self.attributes.items():
            vars(module).update(attributes)
        params = list(self.gradients)
        optimizer.state.clear()
        optimizer.state.update(_copied(self.optimizer, params))
        for group, settings in zip(optimizer.param_groups, self.settings, strict=True):
            group.update(_copied(settings, params))
        set_own_attributes(optimizer, _copied(self.own, params))


def _home(key: Key) -> Tensor:
    return key if isinstance(key, nn.Parameter) else getattr(*key)


def _copied(value: Any, params: Iterable[nn.Parameter]) -> Any:
    """A deep copy, in which the parameters stay themselves."""
    try:
        return deep_copy(value, params)
    except Exception as error:
        raise InputError(f"the optimizer keeps something that cannot be copied: {error}") from error
