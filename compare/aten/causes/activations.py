"""Which function of the same numbers each of the two takes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from torch_parity.compare.aten.causes import numbers
from torch_parity.compare.aten.causes.case import Case
from torch_parity.compare.aten.causes.numbers import computed, fits
from torch_parity.compare.aten.causes.registry import cause
from torch_parity.compare.aten.causes.side import Made, Side
from torch_parity.compare.aten.naming import where
from torch_parity.compare.bounds.tensors import BoundedTensor

Function = Callable[[Any], Any]
GELUS: dict[str, tuple[Function, str]] = {
    "gelu in its exact form": (F.gelu, "F.gelu(x)"),
    "gelu in its tanh form": (
        lambda x: F.gelu(x, approximate="tanh"),
        "F.gelu(x, approximate='tanh')",
    ),
    "gelu in its quick form": (
        lambda x: x * torch.sigmoid(1.702 * x),
        "x * torch.sigmoid(1.702 * x)",
    ),
}
PHASES = ("forward", "backward")
MOST_ARGUMENTS = 8
NOT_DERIVED = {"softplus", "log-sigmoid"}  # their derivatives are sigmoids, and so are many things
OTHERS: dict[str, tuple[Function, str]] = {
    "relu": (F.relu, "F.relu(x)"),
    "silu": (F.silu, "F.silu(x)"),
    "tanh": (torch.tanh, "torch.tanh(x)"),
    "sigmoid": (torch.sigmoid, "torch.sigmoid(x)"),
    "elu": (F.elu, "F.elu(x)"),
    "softplus": (F.softplus, "F.softplus(x)"),
    "hardswish": (F.hardswish, "F.hardswish(x)"),
    "hardsigmoid": (F.hardsigmoid, "F.hardsigmoid(x)"),
    "relu6": (F.relu6, "F.relu6(x)"),
    "selu": (F.selu, "F.selu(x)"),
    "mish": (F.mish, "F.mish(x)"),
    "log-sigmoid": (F.logsigmoid, "F.logsigmoid(x)"),
    "squared relu": (lambda x: F.relu(x).square(), "F.relu(x).square()"),
}
FUNCTIONS = GELUS | OTHERS
# Of numbers of one sign they are a square, a factor or nothing.
OF_THE_SIGN = {"relu", "relu6", "squared relu"}


@dataclass(frozen=True)
class Taken:
    """A tensor of one side is this function of that tensor."""

    name: str
    code: str
    made: Made


def taken(
    side: Side, x: BoundedTensor, values: list[tuple[str, str, BoundedTensor]]
) -> Taken | None:
    """The first function of x that the side makes. values are (name, code, the function of x)."""
    for made in side.made:
        if made.tensor.numel() != x.numel() or made.tensor.dtype != x.dtype:
            continue
        for name, code, y in values:
            if numbers.fits_somehow(y, made.tensor):
                return Taken(name, code, made)
        slope = leaky_slope(made.tensor, x)
        if slope is not None:
            code = f"F.leaky_relu(x, {slope:.6g})"
            return Taken(f"leaky relu of slope {slope:.6g}", code, made)
        alpha = elu_alpha(made.tensor, x)
        if alpha is not None:
            return Taken(f"elu of alpha {alpha:.6g}", f"F.elu(x, {alpha:.6g})", made)
    return None


def values_at(x: BoundedTensor) -> list[tuple[str, str, BoundedTensor]]:
    """Every known function of x, as far as it is another tensor than x."""
    found = []
    both = _has_both_signs(x)
    for name, (function, code) in FUNCTIONS.items():
        if name in OF_THE_SIGN and not both:
            continue
        y = computed(lambda function=function: function(x))  # type: ignore[misc]
        if y is not None and numbers.is_sharp(y) and not fits(y, x):
            found.append((name, code, y))
    return found


def _has_both_signs(x: BoundedTensor) -> bool:
    value = numbers.value_of(x)
    return bool((value < 0).any() and (value > 0).any())


def _is(made: BoundedTensor, y: BoundedTensor, x: BoundedTensor) -> bool:
    return numbers.is_sharp(y) and numbers.fits_somehow(y, made) and not fits(y, x)


def leaky_slope(y: BoundedTensor, x: BoundedTensor) -> float | None:
    """y is x where x > 0 and a constant times x elsewhere."""
    below = _below_zero(y, x)
    slope = None if below is None else numbers.factor_at(y, x, below)
    return None if slope is None or abs(slope - 1) < numbers.SHARP else slope


def elu_alpha(y: BoundedTensor, x: BoundedTensor) -> float | None:
    """y is x where x > 0 and a constant times exp(x) - 1 elsewhere."""
    below = _below_zero(y, x)
    unscaled = None if below is None else computed(lambda: torch.expm1(x))
    if below is None or unscaled is None:
        return None
    return numbers.factor_at(y, unscaled, below)


def _below_zero(y: BoundedTensor, x: BoundedTensor) -> np.ndarray | None:
    """Where x < 0, if y is x elsewhere."""
    if tuple(y.shape) != tuple(x.shape):
        return None
    below: np.ndarray = numbers.value_of(x) < 0
    same = (numbers.value_of(y)[~below] == numbers.value_of(x)[~below]).all()
    return below if same and below.sum() >= 2 and _has_both_signs(x) else None


def arguments(case: Case) -> Iterator[BoundedTensor]:
    """The tensors that both have and that a function may be of, once each."""
    seen: list[BoundedTensor] = []
    for side in (case.b, case.a):
        for made in side.common[:MOST_ARGUMENTS]:
            x = made.tensor
            if x.numel() < 2 or not numbers.is_sharp(x) or any(fits(x, s) for s in seen):
                continue
            seen.append(x)
            yield x


def both_take(case: Case) -> list[tuple[Taken, Taken]]:
    """Different functions that a and b take of the same tensor, or the derivatives of such."""
    if "functions" not in case.found:
        backward = case.phase == "backward"
        case.found["functions"] = list(_derive(case) if backward else _take(case))
    return case.found["functions"]


def _take(case: Case) -> Iterator[tuple[Taken, Taken]]:
    for x in arguments(case):
        values = values_at(x)
        of_b = taken(case.b, x, values)
        of_a = taken(case.a, x, values) if of_b is not None else None
        if of_a is not None and of_b is not None and of_a.name != of_b.name:
            yield of_a, of_b


@cause("gelu_form", "GELU exact, by tanh, or x sigmoid(1.702 x)", PHASES)
def gelu_form(case: Case) -> Iterator[str]:
    """Forward, or in the derivative."""
    for of_a, of_b in both_take(case):
        if of_a.name in GELUS and of_b.name in GELUS:
            yield _told(case, of_a, of_b)


@cause("activation_other", "another activation, or another slope of it", PHASES)
def activation_other(case: Case) -> Iterator[str]:
    """Which."""
    for of_a, of_b in both_take(case):
        if not (of_a.name in GELUS and of_b.name in GELUS):
            yield _told(case, of_a, of_b)


def _told(case: Case, of_a: Taken, of_b: Taken) -> str:
    what = "the derivative of " if case.phase == "backward" else ""
    return (
        f"{case.b.called} takes {what}{of_b.name}, {case.a.called} {what}{of_a.name} "
        f"({where(of_b.made.call)}): {case.a.called} has {of_a.code}."
    )


@cause("activation_missing", "one side has no activation there", general=1)
def activation_missing(case: Case) -> Iterator[str]:
    """The other's call reads the argument itself, and with the activation both are the same."""
    for swap in case.swaps:
        for x, y, lacks, has in swap.both_ways:
            if not x.common or y.common or not x.tensor.is_floating_point():
                continue
            name = name_of(x.tensor, y.tensor)
            if name is not None:
                yield (
                    f"{has.called} takes {name} ({where(y.call)}), which {lacks.called} leaves out "
                    f"before {x.call.operation} ({where(x.call)})."
                )


def name_of(x: BoundedTensor, y: BoundedTensor) -> str | None:
    """The function that makes y of x."""
    both = _has_both_signs(x)
    for name, (function, _) in FUNCTIONS.items():
        if name in OF_THE_SIGN and not both:
            continue
        made = computed(lambda function=function: function(x))  # type: ignore[misc]
        if made is not None and _is(y, made, x):
            return name
    return None


def _derive(case: Case) -> Iterator[tuple[Taken, Taken]]:
    """Derivatives that a and b multiply the same gradient by."""
    shared = list(arguments(case))
    for gradient in shared:
        for x in shared:
            if x is gradient or tuple(x.shape) != tuple(gradient.shape):
                continue
            values = []
            for name, (function, code) in FUNCTIONS.items():
                if name in NOT_DERIVED:
                    continue
                y = _derived(function, gradient)(x)
                if y is not None and numbers.is_sharp(y) and not fits(y, gradient):
                    values.append((name, code, y))
            of_b = _exactly(case.b, values)
            of_a = _exactly(case.a, values) if of_b is not None else None
            if of_a is not None and of_b is not None and of_a.name != of_b.name:
                yield of_a, of_b


def _exactly(side: Side, values: list[tuple[str, str, BoundedTensor]]) -> Taken | None:
    for name, code, y in values:
        made = side.find(y)
        if made is not None:
            return Taken(name, code, made)
    return None


def _derived(function: Function, gradient: BoundedTensor) -> Function:
    def derivative(x: BoundedTensor) -> BoundedTensor | None:
        argument = BoundedTensor(x.bounded, x.dtype, requires_grad=True)
        try:
            with torch.enable_grad():
                (found,) = torch.autograd.grad(function(argument), argument, gradient)
        except Exception:  # torch's own derivative does not run on bounded numbers
            return None
        return numbers.bounded(found)

    return derivative


__all__ = ["FUNCTIONS", "GELUS", "arguments", "both_take", "name_of"]
