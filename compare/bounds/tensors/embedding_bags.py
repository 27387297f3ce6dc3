"""Bags of embeddings: sums, means and greatest entries of the rows that each bag looks up."""

from typing import Any

import numpy as np
import torch

from torch_parity.compare.bounds import sums, truths
from torch_parity.compare.bounds.tensors.positions import numbered
from torch_parity.compare.bounds.tensors.products import inner, outer
from torch_parity.compare.bounds.tensors.registry import rule
from torch_parity.compare.bounds.tensors.scatter import summed
from torch_parity.compare.bounds.tensors.unbounded import Unbounded, Undetermined

SUM, MEAN, MAX = 0, 1, 2


def _bags(indices: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """The bag of each index."""
    places = torch.arange(indices.numel())
    return torch.searchsorted(offsets.long(), places, right=True) - 1


def _weighted(rows: Any, weights: Any, dtype: torch.dtype) -> Any:
    return rows if weights is None else rows * inner(weights, dtype).reshape(-1, 1)


@rule("_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(
    weight: Any, indices: torch.Tensor, offsets: torch.Tensor, scale_grad_by_freq: bool = False,
    mode: int = 0, sparse: bool = False, per_sample_weights: Any = None,
    include_last_offset: bool = False, padding_idx: int = -1,
) -> Any:  # fmt: skip
    """Each bag's rows, added up, averaged or the greatest of them; and what backward needs"""
    bags = _bags(indices, offsets)
    count = offsets.numel() - int(include_last_offset)
    kept = indices != padding_idx
    rows = inner(weight, weight.dtype)[indices.numpy()]
    width = weight.shape[1]
    if mode == MAX:
        found = _greatest(rows, bags[kept], kept, count)
    else:
        rows = _weighted(rows, per_sample_weights, weight.dtype)
        places = numbered(torch.empty(count, width))[bags]
        places[~kept] = 0
        found = summed(rows, places, (count, width))
        if mode == MEAN:
            size = torch.bincount(bags[kept], minlength=count).clamp_min(1).numpy()
            found = found / size[:, None].astype(found.value.dtype)
    rest = (Undetermined(torch.empty(0, dtype=torch.long)) for _ in range(3))
    return (outer(found, weight.dtype), *rest)


def _greatest(rows: Any, bags: torch.Tensor, kept: torch.Tensor, count: int) -> Any:
    """Of each bag; 0 of an empty one."""
    parts = []
    live = rows[kept.numpy()]
    for bag in range(count):
        some = live[(bags == bag).numpy()]
        empty = some.shape[0] == 0
        first = np.zeros_like(rows, shape=(rows.shape[1],))
        parts.append(first if empty else truths.greatest(rows, some, 0))
    return np.stack(parts)


def _spread(
    grad: Any, indices: Any, bags: Any, bag_size: Any, rows: int, by_frequency: bool, mode: int,
    weights: Any, padding_idx: int,
) -> Any:  # fmt: skip
    """Each row's gradient: the sum of those of the bags that looked it up"""
    if mode == MAX:
        raise Unbounded("the gradient of a bag's greatest entry has no rounding bound")
    terms = inner(grad, grad.dtype)[bags.numpy()]
    if mode == MEAN:
        size = bag_size.clamp_min(1)[bags].numpy()
        terms = terms / size[:, None].astype(terms.value.dtype)
    terms = _weighted(terms, weights, grad.dtype)
    if by_frequency:
        often = torch.bincount(indices, minlength=rows)[indices].numpy()
        terms = terms / often[:, None].astype(terms.value.dtype)
    places = numbered(torch.empty(rows, grad.shape[1]))[indices]
    places[indices == padding_idx] = 0
    return outer(summed(terms, places, (rows, grad.shape[1])), grad.dtype)


@rule("_embedding_bag_backward")
def embedding_bag_backward(
    grad: Any, indices: torch.Tensor, offsets: torch.Tensor, offset2bag: torch.Tensor,
    bag_size: torch.Tensor, maximum_indices: torch.Tensor, num_weights: int,
    scale_grad_by_freq: bool, mode: int, sparse: bool, per_sample_weights: Any,
    padding_idx: int = -1,
) -> Any:  # fmt: skip
    """Of the weights, as a dense tensor"""
    if sparse:
        raise Unbounded("a sparse gradient has no rounding bound")
    bags = _bags(indices, offsets)
    size = bag_size
    if size.numel() != grad.shape[0]:  # a forward pass that had no use for it
        size = torch.bincount(bags[indices != padding_idx], minlength=grad.shape[0])
    return _spread(
        grad, indices, bags, size, num_weights, scale_grad_by_freq, mode, per_sample_weights,
        padding_idx,
    )  # fmt: skip


@rule("_embedding_bag_dense_backward")
def embedding_bag_dense_backward(
    grad: Any, indices: torch.Tensor, offset2bag: torch.Tensor, bag_size: torch.Tensor,
    maximum_indices: torch.Tensor, num_weights: int, scale_grad_by_freq: bool, mode: int,
    per_sample_weights: Any, padding_idx: int = -1,
) -> Any:  # fmt: skip
    """Of the weights"""
    return _spread(
        grad, indices, offset2bag, bag_size, num_weights, scale_grad_by_freq, mode,
        per_sample_weights, padding_idx,
    )  # fmt: skip


@rule("_embedding_bag_per_sample_weights_backward")
def per_sample_weights_backward(
    grad: Any, weight: Any, indices: torch.Tensor, offsets: torch.Tensor,
    offset2bag: torch.Tensor, mode: int, padding_idx: int = -1,
) -> Any:  # fmt: skip
    """sum of dy w, of each row that was looked up"""
    bags = _bags(indices, offsets)
    terms = inner(grad, grad.dtype)[bags.numpy()]
    terms = terms * inner(weight, grad.dtype)[indices.numpy()]
    found = sums.total(terms, terms, (1,))
    return outer(np.where((indices != padding_idx).numpy(), found, 0.0), grad.dtype)


@rule("embedding_renorm")
def embedding_renorm(weight: Any, indices: torch.Tensor, max_norm: float, norm_type: float) -> Any:
    """Rows that are looked up and longer than max_norm, shortened to it"""
    w = inner(weight, weight.dtype)
    if norm_type == 2:
        norm = np.sqrt(sums.total(w, w * w, (1,), True))
    else:
        size = np.power(np.absolute(w), norm_type)
        norm = np.power(sums.total(w, size, (1,), True), 1 / norm_type)
    used = torch.zeros(weight.shape[0], 1, dtype=torch.bool)
    used[indices.reshape(-1)] = True
    short = w * (max_norm / np.add(norm, 1e-7))
    rows = np.where(used.numpy(), short, w)
    return outer(np.where(np.greater(norm, max_norm), rows, w), weight.dtype)
