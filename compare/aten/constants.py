"""Constants that one float32 model holds as a tensor and the other as a Python number.

torch.tensor(0.1) is 0.100000001 in float32, and the number 0.1 becomes the same when it meets a
float32 tensor: the two models compute the same. In float64 the tensor keeps the digits of float32
and the number has its own. So a tensor whose entries are all what a Python number of the step is in
float32 stands for that number there; one that is what its reciprocal is stands for the reciprocal
(h * torch.tensor(8**-0.5) for h / math.sqrt(8)). A short list of such numbers stands for them entry
by entry (the mean and deviation of each colour), and so does 0.10000000149, which exported programs
have for 0.1.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torch_parity.compare.aten.record import Record
from torch_parity.compare.torch_private import flattened

FEW = 16  # entries of a list of constants
DIGITS = 5  # of a number that somebody wrote; those of data (x.max().item()) have eight or nine


def shared_constants(records: Iterable[Record]) -> dict[float, float]:
    """Numbers of either step, and their reciprocals, by what they are in float32, where a tensor of
    either holds just that. A tensor stands for the reciprocal of another only where no Python
    number is it. Where two numbers are the same in float32, neither stands for the other."""
    records = list(records)
    numbers = {n for record in records for n in _numbers(record)}
    held = {value for record in records for values in _held(record) for value in values}
    found: dict[float, float] = {}
    fractions = {n for n in numbers if isinstance(n, float)}
    narrow = {n for n in fractions if _in_float32(n) == n}
    held |= narrow
    fractions -= narrow
    short = (_shortest(n) for n in narrow if not _is_short(math.frexp(n)[0]))
    written = {n for n in short if float(f"{n:.{DIGITS}g}") == n}
    of_held = _reciprocals(n for n in held if n > 1)
    for candidates in (fractions, _reciprocals(numbers), of_held, written):
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
    """The tensor in float64; shared constants have their digits."""
    if not is_shared(tensor, constants):
        return tensor.double()
    wide = tensor.double()
    for rounded in _values(tensor) & constants.keys():
        wide = torch.where(tensor == rounded, constants[rounded], wide)
    return wide


def number_in_double(x: Any, constants: Mapping[float, float]) -> Any:
    """A Python number with the digits of the shared constant that it is; anything else as it is."""
    return constants.get(x, x) if type(x) is float else x


def is_shared(tensor: Tensor, constants: Mapping[float, float]) -> bool:
    """It holds shared constants, and besides them only numbers that are the same in float32."""
    if not constants:
        return False
    values = _values(tensor)
    rest = values - constants.keys()
    return rest != values and all(_is_short(value) for value in rest)


def is_rate(value: Any) -> bool:
    """A setting of an optimizer that is a number in a float32 tensor."""
    return isinstance(value, Tensor) and value.dtype == torch.float32 and value.numel() == 1


def as_written(rate: Tensor) -> float:
    """torch.tensor(0.1) is 0.1."""
    return _shortest(rate.item())


def _shortest(number: float) -> float:
    """The shortest decimal number that is the same in float32."""
    return float(str(np.float32(number)))


def _is_short(value: float) -> bool:
    return (value * 2**8).is_integer()


def _numbers(record: Record) -> Iterator[float]:
    for call in record.calls:
        given = flattened((call.args, dict(call.kwargs)))
        yield from (x for x in given if isinstance(x, float | int) and math.isfinite(x))


def _held(record: Record) -> Iterator[set[float]]:
    """The constants among the tensors that the step was given or that its program holds."""
    read = {ref for call in record.calls for ref in call.inputs if ref.place in record.unseen}
    for ref in {*record.given.values(), *read}:
        if not ref.unjudged:
            yield _values(record.value(ref))


def _values(tensor: Tensor) -> set[float]:
    """The numbers of a float32 tensor that holds one in every entry, or few entries; none of any
    other tensor."""
    if tensor.dtype != torch.float32 or not tensor.numel():
        return set()
    flat = tensor.reshape(-1)
    if bool((flat == flat[0]).all()):
        return {float(flat[0])}
    return set(flat.tolist()) if flat.numel() <= FEW else set()


def _in_float32(number: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(number))
