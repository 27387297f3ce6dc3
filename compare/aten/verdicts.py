"""What became of one output of a recorded call, or of a custom autograd.Function; and how a
recorded tensor is held to a bound."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from torch_parity.compare.aten.record import Call
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.precise import higher
from torch_parity.compare.bounds.precision import is_real, precision
from torch_parity.compare.bounds.tensors import BoundedTensor
from torch_parity.compare.tensors import to_numpy

Outcome = Literal["right", "wrong", "unjudged", "given"]
# Next to the largest number rounding up overflows.
NEAR_OVERFLOW = 1 - 2.0**-10


@dataclass(frozen=True)
class Held:
    """A tensor held to its bound: use is the greatest gap in units of the bound, at index;
    reach is the greatest bound, and power that in units of the tensor's largest entry."""

    use: float
    power: float = 0.0
    index: tuple[int, ...] = ()
    seen: float = 0.0
    expected: float = 0.0
    bound: float = 0.0
    reach: float = 0.0
    unbounded: bool = False


@dataclass(frozen=True)
class CallVerdict:
    """One output of a call: right or wrong; unjudged, with the reason; or given (random numbers,
    memory that nothing was written into), which nothing can be said about."""

    call: Call
    output: int
    outcome: Outcome
    held: Held = Held(0.0)
    reason: str = ""


def held(seen: Tensor, expected: Any) -> Held:
    """Hold a recorded tensor to what it may be.

    A number that is not finite on both sides is the same; an infinity where the exact number is
    within its bound of the largest one has overflowed, which is right. NaN there may come from
    sums that overflowed to either side, so such an entry has no bound.
    """
    if not isinstance(expected, BoundedTensor):
        return _equal(seen, torch.as_tensor(expected))
    if tuple(seen.shape) != tuple(expected.shape):
        return Held(float("inf"))
    b: Bounded = expected.bounded
    value, error = np.asarray(b.value), np.asarray(b.error)
    if not value.size:
        return Held(0.0)
    found = to_numpy(seen)
    if not error.any() and np.array_equal(found, value):  # a copy, a view: nothing is rounded
        return Held(0.0)
    with np.errstate(all="ignore"):
        found = found.astype(higher(found.dtype) if is_real(found.dtype) else np.float64)
        gap = np.abs(found - value).astype(np.float64)
        same = (found == value) | (np.isnan(found) & np.isnan(value))
        most = precision(b.judged).most * NEAR_OVERFLOW
        beyond = np.abs(value) + error >= most
        lost = np.isnan(found) & beyond
        same |= lost | (np.isinf(found) & beyond)
        without = ~np.isfinite(error) & np.isfinite(value)  # it may be anything
        uses = np.where(same | (gap == 0) | without, 0.0, gap / error)
        uses = np.where(np.isnan(uses), np.inf, uses)
        at = np.unravel_index(int(uses.argmax()), uses.shape)
        finite = np.isfinite(value)
        unbounded = bool((lost | (~np.isfinite(error) & finite)).any())
        largest = float(np.abs(np.where(finite, value, 0.0)).max())
        reach = float(np.where(finite, error, 0.0).max())
    power = reach / largest if largest else (0.0 if reach == 0 else float("inf"))
    index = tuple(int(i) for i in at)
    numbers = (float(found[index]), float(value[index]), float(error[index]))
    return Held(float(uses[index]), power, index, *numbers, reach, unbounded)


def _equal(seen: Tensor, expected: Tensor) -> Held:
    """Whole numbers, truth values, and floats that no rounding touched."""
    if tuple(seen.shape) != tuple(expected.shape):
        return Held(float("inf"))
    expected = expected.to(seen.device)
    if seen.is_floating_point():
        expected = expected.to(seen.dtype)
    differ = (seen != expected) & ~((seen != seen) & (expected != expected))
    if not bool(differ.any()):
        return Held(0.0)
    index = tuple(int(i) for i in differ.nonzero()[0])
    return Held(float("inf"), 0.0, index, float(seen[index]), float(expected[index]))


@dataclass(frozen=True)
class FunctionVerdict:
    """A custom autograd.Function, judged as one operation: its gradients against the derivative of
    its own forward. input is the number of the first input whose gradient is wrong."""

    name: str
    module: str
    line: str
    outcome: Literal["right", "wrong", "unjudged"]
    input: int = 0
    use: float = 0.0
    index: tuple[int, ...] = ()
    seen: float = 0.0
    expected: float = 0.0
    reason: str = ""

    @property
    def sentence(self) -> str:
        """In words."""
        at = f"{self.name} ({self.line or self.module})"
        if self.outcome == "unjudged":
            return f"Not judged: the backward of {at}: {self.reason}."
        return (
            f"Wrong: the backward of {at} is not the derivative of its forward: the gradient of "
            f"input {self.input} at {list(self.index)} is {self.seen:.9g}, expected "
            f"{self.expected:.9g}."
        )
