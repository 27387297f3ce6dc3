"""The same step in float64: two models that compute the same differ by 1e-15 there, and a mistake
that float32's rounding hides is plain to see."""

import copy
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from torch_parity.compare.aten.step import Step


def doubled(step: Step) -> Step | None:
    """A copy of the step whose model, inputs and optimizer state are in float64; None where there
    is no such copy: the model cannot be copied, or is no module.
    """
    if not isinstance(step.model, nn.Module):
        return None
    try:
        # in one go, so that the optimizer's parameters are still the model's
        model, optimizer = copy.deepcopy((step.model, step.optimizer))
    except Exception:  # whatever a user's own __deepcopy__ or a tensor inside a graph raises
        return None
    model.double()
    if optimizer is not None:
        for p, state in optimizer.state.items():
            for key, value in state.items():
                if isinstance(value, Tensor) and value.shape == p.shape:
                    state[key] = _double(value)
    for p, own in zip(model.parameters(), step.model.parameters(), strict=True):
        p.grad = None if own.grad is None else _double(own.grad)  # a copied parameter has none
    return replace(
        step,
        model=model,
        optimizer=optimizer,
        inputs=mapped_tensors(step.inputs),
        keywords=mapped_tensors(step.keywords),
        target=mapped_tensors(step.target),
    )


def _double(tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point() or tensor.layout != torch.strided:
        return tensor.detach().clone()
    return tensor.detach().double().clone().requires_grad_(tensor.requires_grad)


def mapped_tensors(value: Any) -> Any:
    """The same nested value with its tensors of real numbers in float64."""
    if isinstance(value, Tensor):
        return _double(value)
    if isinstance(value, Mapping) and hasattr(value, "copy"):
        changed = copy.copy(value)
        for key in value:
            changed[key] = mapped_tensors(value[key])  # type: ignore[index]
        return changed
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped_tensors(v) for v in value))
    if isinstance(value, list | tuple):
        return type(value)(mapped_tensors(v) for v in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value,
            **{f.name: mapped_tensors(getattr(value, f.name)) for f in fields(value) if f.init},
        )
    return value
