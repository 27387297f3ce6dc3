"""Real numbers that a model returns as an array or a float: which tensor they were read from."""

from typing import Any

import numpy as np
import torch

from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.snapshots import Snapshots, TensorRef


def is_number(value: Any) -> bool:
    """A float, or an array of real numbers, of a type that torch has as well."""
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.kind == "f" and value.dtype.itemsize <= 8
    return isinstance(value, float)


def source_of(record: Record, snapshots: Snapshots, value: Any) -> TensorRef | None:
    """The recorded tensor that an array shares its memory with (Tensor.numpy), or that a float was
    read from (Tensor.item); None where no recorded call made the number."""
    if isinstance(value, np.ndarray):
        dtype = torch.from_numpy(np.empty(0, value.dtype)).dtype
        return snapshots.of_array(value, dtype)
    return record.read.get(float(value))


def copied(value: Any) -> torch.Tensor:
    """The number as a tensor with memory of its own."""
    return torch.from_numpy(np.array(value))
