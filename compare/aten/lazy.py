"""Modules whose first call makes their parameters (nn.LazyLinear): that call comes before the
step, on a copy."""

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, is_lazy

from torch_parity.compare.aten.step import Step, run_forward
from torch_parity.compare.aten.unchanged import fresh
from torch_parity.compare.errors import InputError


def initialised(step: Step) -> Step:
    """The step, of a copy of its model whose lazy parameters are made; of the model itself if it
    has none. Every copy that is made from the same state of the generator has the same numbers.

    Raises:
        InputError: it has an optimizer, which holds none of the new parameters; its forward raises.
    """
    if not isinstance(step.model, nn.Module) or not _lazy(step.model):
        return step
    if step.optimizer is not None:
        raise InputError(
            f"{step.called} has parameters that its first call makes (nn.LazyLinear); call it once "
            "before its optimizer is made"
        )
    model = copy.deepcopy(step.model, {id(b): _another(b) for b in _lazy(step.model)})
    modes = [(m, m.training) for m in model.modules()]
    model.eval()  # running statistics are not moved
    inputs, keywords = fresh(step.inputs), fresh(dict(step.keywords or {}))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        run_forward(replace(step, model=model, inputs=inputs, keywords=keywords))
    for module, training in modes:
        module.training = training
    return replace(step, model=model)


def _lazy(model: nn.Module) -> list[Any]:
    tensors = [*model.parameters(), *model.buffers()]
    return [t for t in tensors if is_lazy(t)]


def _another(tensor: Any) -> Any:
    """torch copies a lazy parameter, but no lazy buffer."""
    if isinstance(tensor, UninitializedBuffer):
        made: Any = UninitializedBuffer
        return made(device=tensor.device, dtype=tensor.dtype)
    return copy.deepcopy(tensor)
