"""Random numbers that two models have in common, drawn from different distributions.

The second model draws the numbers of the first (draws.py). So nothing that is computed from them
shows another range, deviation or probability: what the two drew from is compared here.
"""

import math
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor

from torch_parity.compare.aten.coarse import OF_FLOAT64, agree
from torch_parity.compare.aten.draws import DROPOUT, drawing, key_of
from torch_parity.compare.aten.naming import where
from torch_parity.compare.aten.record import Call, Record
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.tensors import to_numpy
from torch_parity.compare.torch_private import arguments_of

# How much is drawn, where it lies, and what draws it.
NOT_OF_THE_DISTRIBUTION = {
    "size", "n", "generator", "dtype", "layout", "device", "pin_memory", "memory_format", "train",
    "input",
}  # fmt: skip
# Of these the first argument says what to draw from; of others only its shape is read.
OF_A_TENSOR = {
    "aten::bernoulli", "aten::multinomial", "aten::poisson", "aten::_standard_gamma",
    "aten::_sample_dirichlet", "aten::binomial", "aten::normal",
}  # fmt: skip
# What these draw from without being told, as those operations are given it that draw the same.
STANDARD: dict[str, dict[str, Any]] = {
    "rand": {"from": 0, "to": 1},
    "randn": {"mean": 0, "std": 1},
}


def drawn_otherwise(a: Record, b: Record, called: tuple[str, str]) -> Iterator[str]:
    """A sentence for each call of b whose numbers a drew as well, from another distribution."""
    for first, call in other_distributions(a, b):
        if _name(first) == _name(call):
            yield (
                f"{called[1]} draws {call.operation}({_told(call)}) ({where(call)}), and "
                f"{called[0]} {first.operation}({_told(first)})."
            )


def in_another_form(a: Record, b: Record) -> Iterator[tuple[Call, Call]]:
    """Calls of a and b that have their numbers in common, but may draw them in another form, as
    normal(mean, std) and randn() * std + mean."""
    return ((x, y) for x, y in other_distributions(a, b) if _name(x) != _name(y))


def other_distributions(a: Record, b: Record) -> Iterator[tuple[Call, Call]]:
    """Each call of b whose numbers a drew as well, with that call, if none there draws alike."""
    of_a = [(call, numbers_of(a, call)) for call in drawing(a)]
    for call in drawing(b):
        own = numbers_of(b, call)
        same = [other for other, numbers in of_a if numbers == own]
        if same and not any(_alike(a, other, b, call) for other in same):
            yield same[0], call


def _name(call: Call) -> str:
    return "bernoulli" if call.operation == DROPOUT else call.operation.removesuffix("_like")


def numbers_of(record: Record, call: Call) -> tuple[Any, bytes]:
    """What a call drew, to be found among what others drew."""
    drawn = record.value(call.outputs[-1])
    return key_of(call.operation, drawn), blake2b(to_numpy(drawn).tobytes()).digest()


def _alike(a: Record, first: Call, b: Record, second: Call) -> bool:
    x, y = _parameters(first), _parameters(second)
    return len(x) == len(y) and all(
        _same(a, p, b, q) for p, q in zip(x.values(), y.values(), strict=True)
    )


def _same(a: Record, x: Any, b: Record, y: Any) -> bool:
    if isinstance(x, TensorRef) and isinstance(y, TensorRef):
        return bool(x.unjudged or y.unjudged) or _same_tensors(a.value(x), b.value(y))
    if isinstance(x, TensorRef) or isinstance(y, TensorRef):
        ref, record, number = (x, a, y) if isinstance(x, TensorRef) else (y, b, x)
        return bool(ref.unjudged) or bool((record.value(ref) == number).all())
    if isinstance(x, int | float) and isinstance(y, int | float):
        return math.isclose(x, y, rel_tol=OF_FLOAT64)
    return bool(x == y)


def _same_tensors(x: Tensor, y: Tensor) -> bool:
    """In a lower precision than float64 up to the rounding of a few operations."""
    if x.dtype != y.dtype or x.dtype == torch.float64 or x.shape != y.shape:
        return agree(x, y)
    few = 16 * torch.finfo(x.dtype).eps if x.is_floating_point() else 0.0
    return torch.allclose(x.double(), y.double(), few, 0.0, equal_nan=True)


def _parameters(call: Call) -> dict[str, Any]:
    """What the distribution is given by, by name; a probability is that of 1, not of dropping."""
    found: dict[str, Any] = {}
    of_a_tensor = call.overload._schema.name in OF_A_TENSOR and call.overload._overloadname != "p"
    for i, argument in enumerate(arguments_of(call.overload)):
        name = argument.name
        value = call.args[i] if i < len(call.args) else call.kwargs.get(name)
        if i >= len(call.args) and name not in call.kwargs and argument.has_default_value():
            value = argument.default_value
        if name in NOT_OF_THE_DISTRIBUTION or (name == "self" and not of_a_tensor):
            continue
        found[name] = value
    if call.operation == "multinomial" and found.get("num_samples") == 1:
        del found["replacement"]  # of one number
    if call.operation == DROPOUT:
        return {"p": 1 - float(found["p"])}
    return found or STANDARD.get(call.operation.removesuffix("_like"), {})


def _told(call: Call) -> str:
    shown = {n: "a tensor" if isinstance(v, TensorRef) else v for n, v in _parameters(call).items()}
    return ", ".join(f"{n}={v}" for n, v in shown.items())
