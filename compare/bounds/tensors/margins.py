"""The margin losses of several classes, and their gradients."""

from collections.abc import Callable
from typing import Any

import torch

from torch_parity.compare.bounds.tensors.bounded_tensor import BoundedTensor
from torch_parity.compare.bounds.tensors.conversions import inner_type, lifted, tensor_of
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.tiers import judged_by

NONE, MEAN = 0, 1  # torch's numbers for reductions


def _rows(x: Any) -> Any:
    """A row a sample; a single number is one class of one sample."""
    return x.reshape(-1, x.shape[-1] if x.ndim else 1)


def _raised(x: Any) -> Any:
    """In the type that is computed in, apart from any graph."""
    inner = inner_type(x.dtype)
    return tensor_of(lifted(x, inner), inner)


def _reduced(rows: Any, reduction: int, of: torch.Size) -> Any:
    if reduction == NONE:
        return rows.reshape(of)
    return rows.mean() if reduction == MEAN else rows.sum()


def multi_margin(
    x: Any, target: torch.Tensor, p: Any, margin: Any, weight: Any, reduction: int
) -> Any:
    """sum_i of max(0, margin - x_y + x_i)^p w_y / C, over the classes i other than y"""
    rows = _rows(x)
    y = target.reshape(-1, 1)
    others = torch.ones(rows.shape, dtype=torch.bool).scatter(1, y, False)
    apart = (margin - rows.gather(1, y) + rows).clamp(min=0)
    terms = apart * apart if p == 2 else apart
    terms = torch.where(others, terms, torch.zeros_like(terms))
    if weight is not None:
        terms = terms * _raised(weight)[target.reshape(-1)].reshape(-1, 1)
    return _reduced(terms.sum(1) / rows.shape[1], reduction, target.shape)


def multilabel_margin(x: Any, target: torch.Tensor, reduction: int) -> Any:
    """sum_ij of max(0, 1 - x_j + x_i) / C, over the labels j (those before the first -1) and all
    other classes i"""
    rows, labels = _rows(x), _labels(target)
    found = []
    for row, own in zip(rows, labels, strict=True):
        others = torch.ones(rows.shape[1], dtype=torch.bool)
        others[own] = False
        apart = (1 - row[own].reshape(-1, 1) + row[others.nonzero().reshape(-1)]).clamp(min=0)
        found.append(apart.sum() / rows.shape[1])
    return _reduced(torch.stack(found), reduction, target.shape[:-1])


def _labels(target: torch.Tensor) -> list[torch.Tensor]:
    rows = _rows(target)
    return [row[: int((row < 0).int().argmax()) if bool((row < 0).any()) else None] for row in rows]


def _is_target(x: Any, target: torch.Tensor) -> torch.Tensor:
    made = torch.zeros(_rows(x).shape, dtype=x.dtype)
    for row, own in zip(made, _labels(target), strict=True):
        row[own] = 1
    return made.reshape(x.shape)


def _derived(formula: Callable[[Any], Any], x: Any, grad: Any) -> Any:
    """The formula, differentiated on bounded numbers."""
    with judged_by(alone=False), torch.enable_grad():
        leaf = _raised(x).requires_grad_()
        made = formula(leaf)
        (found,) = torch.autograd.grad(made, leaf, _raised(grad).reshape(made.shape))
        return BoundedTensor(found.bounded, found.dtype).to(x.dtype)


@rule("multi_margin_loss_backward")
def multi_margin_backward(
    grad: Any, x: Any, target: Any, p: Any, margin: Any, weight: Any = None, reduction: int = MEAN
) -> Any:
    """The derivative of multi_margin"""
    return _derived(lambda z: multi_margin(z, target, p, margin, weight, reduction), x, grad)


@rule("multilabel_margin_loss_forward")
def multilabel_margin_forward(x: Any, target: Any, reduction: int) -> Any:
    """multilabel_margin, and which classes are labels"""
    with judged_by(alone=False):
        made = multilabel_margin(_raised(x), target, reduction).to(x.dtype)
    return made, BoundedTensor.exact(_is_target(x, target))


@rule("multilabel_margin_loss_backward")
def multilabel_margin_backward(
    grad: Any, x: Any, target: Any, reduction: int, is_target: Any
) -> Any:
    """The derivative of multilabel_margin"""
    return _derived(lambda z: multilabel_margin(z, target, reduction), x, grad)
