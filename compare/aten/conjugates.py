"""Conjugated views of complex memory, which torch conjugates only where they are read.

A view of them is recorded by what lies in memory, and what reads them as a call that conjugates.
"""

from typing import Any

import torch
from torch import Tensor

from torch_parity.compare.torch_private import flattened, mapped


def is_conjugated(x: Any) -> bool:
    """Whether it is a tensor that is conjugated when it is read."""
    return isinstance(x, Tensor) and x.is_conj()


def any_conjugated(tree: Any) -> bool:
    """Whether one of the leaves is."""
    return any(map(is_conjugated, flattened(tree)))


def in_memory(tree: Any) -> Any:
    """The same tensors by what lies in their memory."""
    return mapped(_as_it_lies, tree)


def _as_it_lies(x: Any) -> Any:
    return torch.ops.aten._conj.default(x) if is_conjugated(x) else x
