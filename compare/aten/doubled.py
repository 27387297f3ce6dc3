"""The same step in float64: two models that compute the same differ by 1e-15 there, and a mistake
that float32's rounding hides is plain to see."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torch_parity.compare.aten.constants import as_written, in_double, is_rate
from torch_parity.compare.aten.leaves import leaves_of, with_tensors
from torch_parity.compare.aten.own_limits import own_limits
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.step import Step
from torch_parity.compare.aten.unchanged import named_buffers, tensor_attributes

HALVES = (torch.float16, torch.bfloat16)


@contextmanager
def in_float64(step: Step) -> Iterator[Step]:
    """The step with its model, inputs and optimizer state in float64; afterwards the model and the
    optimizer have their own tensors again.

    The model is not copied: hooks, closures and whatever else points to it stay in place.
    """
    module = step.model if isinstance(step.model, nn.Module) else nn.Module()
    params: list[tuple[Any, Tensor, Any]] = [(p, p.data, p.grad) for p in module.parameters()]
    buffers = [(m, n, b) for _, m, n, b in (*named_buffers(module), *tensor_attributes(module))]
    state = {} if step.optimizer is None else step.optimizer.state
    states = {p: dict(own) for p, own in state.items()}
    groups = [] if step.optimizer is None else step.optimizer.param_groups
    rates = [(g, k, v) for g in groups for k, v in g.items() if is_rate(v)]
    given = leaves_of("", (step.inputs, step.keywords, step.target))
    tensors = [*(t for _, t in given), *(p for _, p, _ in params), *(b for _, _, b in buffers)]
    kinds = {str(getattr(t, "dtype", "")).removeprefix("torch.") for t in tensors}
    of_weights = {str(p.dtype).removeprefix("torch.") for _, p, _ in params}
    try:
        for p, data, gradient in params:
            p.grad = None  # of another type than the data it would be refused
            p.data = _double(data)
            p.grad = None if gradient is None else _double(gradient)
        for m, name, buffer in buffers:
            setattr(m, name, _double(buffer, step.constants))
        for p, own in states.items():
            state[p] = {key: _state(value, p) for key, value in own.items()}
        for group, key, rate in rates:
            group[key] = torch.full_like(rate, as_written(rate), dtype=torch.float64)
        with own_limits(kinds, of_weights or kinds):
            yield replace(
                step,
                inputs=doubled(step.inputs),
                keywords=doubled(step.keywords),
                target=doubled(step.target),
                doubled="float64" not in kinds,
            )
    finally:
        for p, data, gradient in params:
            p.grad = None
            p.data = data
            p.grad = gradient
        for m, name, buffer in buffers:
            setattr(m, name, buffer)
        for p, own in states.items():
            state[p] = own
        for group, key, rate in rates:
            group[key] = rate
        for p in [p for p in state if p not in states]:
            del state[p]


def precisions(record: Record) -> set[str]:
    """The types of real numbers that a step was given; an optimizer's counters do not count."""
    given = record.given
    of_weights = {name for name in given if name.rpartition(".")[0] in given}
    kinds = {r.dtype for n, r in given.items() if r.shape or n not in of_weights}
    kinds = {kind for kind in kinds if kind.is_floating_point}
    return {str(kind).removeprefix("torch.") for kind in kinds}


def _state(value: Any, p: Any) -> Any:
    """Counters are float32 in any model; the step advances a copy of them."""
    if not isinstance(value, Tensor):
        return value
    return _double(value) if value.shape == p.shape else value.clone()


def _double(tensor: Tensor, constants: Mapping[float, float] | None = None) -> Tensor:
    if tensor.is_complex():
        wide = tensor.detach().to(torch.complex128, copy=True)
        return wide.requires_grad_(tensor.requires_grad)
    if not tensor.is_floating_point() or tensor.layout != torch.strided:
        return tensor.detach().clone()
    made = in_double(tensor.detach(), constants or {})
    return made.clone().requires_grad_(tensor.requires_grad)


def doubled(value: Any) -> Any:
    """The same nested value with its tensors and arrays of real numbers in float64."""
    return with_tensors(value, _doubled)


def _doubled(x: Any) -> Any:
    if isinstance(x, Tensor):
        return _double(x)
    wide = {"f": np.float64, "c": np.complex128}.get(x.dtype.kind, x.dtype)
    return x.astype(wide)
