"""Constants that one float32 model holds as a tensor and the other as a Python number.

torch.tensor(0.1) is 0.100000001 in float32, and the number 0.1 becomes the same when it meets a
float32 tensor: the two models compute the same. In float64 the tensor keeps the digits of float32
and the number has its own. So a tensor whose entries are all what a Python number of the step is in
float32 stands for that number there; one that is what its reciprocal is stands for the reciprocal
(h * torch.tensor(8**-0.5) for h / math.sqrt(8)).
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from torch_parity.compare.aten.record import Record
from torch_parity.compare.torch_private import flattened


def shared_constants(records: Iterable[Record]) -> dict[float, float]:
    """Numbers of either step, and their reciprocals, by what they are in float32, where a tensor of
    either holds just that. A tensor stands for the reciprocal of another only where no Python
    number is it. Where two numbers are the same in float32, neither stands for the other."""
    records = list(records)
    numbers = {n for record in records for n in _numbers(record)}
    held = {value for record in records for value in _held(record)}
    found: dict[float, float] = {}
    fractions = {n for n in numbers if isinstance(n, float)}
    for candidates in (fractions, _reciprocals(numbers), _reciprocals(n for n in held if n > 1)):
        by_rounded: dict[float, set[float]] = defaultdict(set)
        for number in candidates:
            by_rounded[_in_float32(number)].add(number)
        found |= {
            rounded: number
            for rounded, (number, *more) in by_rounded.items()
            if not more and rounded in held and rounded not in found
        }
    return {rounded: number for rounded, number in found.items() if rounded != number}


def _reciprocals(numbers: Iterable[float]) -> set[float]:
    return {1 / n for n in numbers if n}


def in_double(tensor: Tensor, constants: Mapping[float, float]) -> Tensor:
    """The tensor in float64; one that holds nothing but a shared constant has its digits."""
    if not is_shared(tensor, constants):
        return tensor.double()
    number = constants[float(tensor.reshape(-1)[0])]
    return torch.full_like(tensor, number, dtype=torch.float64)


def is_shared(tensor: Tensor, constants: Mapping[float, float]) -> bool:
    """It holds nothing but a shared constant."""
    return bool(constants) and _constant(tensor) in constants


def _numbers(record: Record) -> Iterator[float]:
    for call in record.calls:
        given = flattened((call.args, dict(call.kwargs)))
        yield from (x for x in given if isinstance(x, float | int) and math.isfinite(x))


def _held(record: Record) -> Iterator[float]:
    """The constants among the tensors that the step was given or that its program holds."""
    read = {ref for call in record.calls for ref in call.inputs if ref.place in record.unseen}
    for ref in {*record.given.values(), *read}:
        if not ref.unjudged and (value := _constant(record.value(ref))) is not None:
            yield value


def _constant(tensor: Tensor) -> float | None:
    """The number that a float32 tensor holds in every entry; None if it holds several."""
    if tensor.dtype != torch.float32 or not tensor.numel():
        return None
    first = tensor.reshape(-1)[0]
    return float(first) if bool((tensor == first).all()) else None


def _in_float32(number: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(number))
