"""What a program asks of its numbers' type, in its step in float64: it gets the answer for its own.

torch.finfo(x.dtype).eps is 1.2e-7 in a float32 model, and so is the eps that torch.rms_norm takes
where none is given. In float64 both would be 2.2e-16, and the model another one.
"""

from collections.abc import Container, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

LOWER = ("float32", "bfloat16", "float16")


@contextmanager
def own_limits(of_all: Container[str], of_weights: Container[str]) -> Iterator[None]:
    """By the types of the program's own tensors; float64 among them has its own limits."""
    kind = next((kind for kind in LOWER if kind in of_weights), None)
    if kind is None or "float64" in of_all:
        yield
        return
    own = getattr(torch, kind)
    finfo, rms_norm = torch.finfo, torch.rms_norm

    @wraps(finfo, updated=())
    def own_finfo(dtype: Any = None) -> Any:
        given = torch.get_default_dtype() if dtype is None else dtype
        return finfo(own if given == torch.float64 else given)

    @wraps(rms_norm, updated=())
    def own_rms_norm(x: Tensor, shape: Any, weight: Any = None, eps: float | None = None) -> Tensor:
        if eps is None and x.dtype == torch.float64:
            eps = finfo(torch.float32).eps  # half precision is computed in float32
        return rms_norm(x, shape, weight, eps)

    with patch.object(torch, "finfo", own_finfo), patch.object(torch, "rms_norm", own_rms_norm):
        yield
