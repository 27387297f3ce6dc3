"""What makes float64 in the step in float64 of a program in a lower precision, although the program
says float32: casts, memory that it makes, and what it computes with float64.

What is made of whole numbers alone (angles, positions) stays in float32: it has the digits of
float32 in any precision, as a stored buffer has.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from torch_parity.compare.aten.draws import RANDOM
from torch_parity.compare.aten.factories import RANGES, SHAPED
from torch_parity.compare.aten.record import operation_of
from torch_parity.compare.torch_private import flattened

WIDE = {torch.float32: torch.float64, torch.complex64: torch.complex128}


def casts_to_float32(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """It makes a float32 tensor of a float64 one, and draws no random numbers."""
    if kwargs.get("dtype") not in WIDE or operation_of(func) in RANDOM:
        return False
    return bool(args) and isinstance(args[0], Tensor) and args[0].dtype in WIDE.values()


def draws_float32(func: Any, kwargs: Mapping[str, Any]) -> bool:
    """torch.rand or torch.randn of a shape, which rand_like and randn_like of float64 stand beside;
    what is computed from them would have the digits of float32."""
    return operation_of(func) in ("rand", "randn") and kwargs.get("dtype") in (None, torch.float32)


def wider_memory(func: Any, args: Any, kwargs: Any) -> torch.dtype | None:
    """The type of what torch.zeros and the like make: what is written into it later would be
    rounded. None if it is not of float32 numbers."""
    if operation_of(func) not in SHAPED - RANGES:
        return None
    out = func(*args, **kwargs)
    return WIDE.get(out.dtype) if isinstance(out, Tensor) else None


def beside_float64(args: Any, kwargs: Any, written: Iterable[Tensor]) -> list[Tensor]:
    """The float32 tensors that a call is given beside float64 ones, less those that it writes into.
    torch refuses to multiply the two, or rounds one to the other."""
    given = [x for x in flattened((args, kwargs)) if isinstance(x, Tensor)]
    if not any(x.dtype == torch.float64 for x in given):
        return []
    kept = {id(x) for x in written}
    return [x for x in given if x.dtype == torch.float32 and id(x) not in kept]
