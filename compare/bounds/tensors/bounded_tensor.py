"""BoundedTensor: what torch takes for a tensor of the judged type, and is a NumPy Bounded.

torch's own code runs on it unchanged: its decompositions, its autograd, any function of tensors.
Each ATen call arrives in __torch_dispatch__, where the rules of Bounded compute its result.
"""

from typing import Any, Self

import numpy as np
import torch

from torch_parity.compare import torch_private
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.tensors import conversions


class BoundedTensor(torch.Tensor):
    """value +- error, entry by entry, in `bounded`; no memory of torch's own.

    Its strides are those of the value and of the error, so that torch's views are NumPy's.
    """

    bounded: Bounded

    @staticmethod
    def __new__(cls, bounded: Bounded, dtype: torch.dtype, requires_grad: bool = False) -> Any:
        """Numbers that pass themselves off as dtype."""
        bounded = _aligned(bounded)
        size = bounded.value.itemsize
        strides = tuple(s // size for s in bounded.value.strides)
        made = torch_private.wrapper_tensor(cls, bounded.shape, strides, dtype, requires_grad)
        made.bounded = bounded
        return made

    def __init__(self, *_: Any, **__: Any) -> None:
        """__new__ has done it."""

    @classmethod
    def exact(cls, tensor: torch.Tensor) -> Self:
        """A recorded tensor of real numbers, which is what it is.

        Raises:
            Unbounded: it is complex, sparse or quantized.
        """
        return cls(conversions.exact(tensor), tensor.dtype)

    __torch_function__ = torch_private.without_torch_function()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """One ATen call."""
        from torch_parity.compare.bounds.tensors import dispatch

        return dispatch.called_by_torch(func, args, kwargs or {})

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"BoundedTensor(shape={tuple(self.shape)}, dtype={self.dtype})"


def _aligned(x: Bounded) -> Bounded:
    """Value and error with the same strides, counted in entries."""
    value, error = x.value, x.error
    steps = [s // value.itemsize for s in value.strides]
    if [s // 8 for s in error.strides] == steps and min(steps, default=0) >= 0:
        return x
    result = x.like(np.array(value, order="C"), np.array(error, order="C"))
    if np.ndim(x.begun) == 0:
        result.begun = x.begun
    result.exponential = x.exponential
    return result
