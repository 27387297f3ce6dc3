"""What both models have so far, while b's calls are computed from a's numbers."""

from collections.abc import Collection

import numpy as np
import torch

from torch_parity.compare.aten.alignment import Alignment
from torch_parity.compare.aten.index import Index
from torch_parity.compare.aten.memory import BoundedMemory, Place, digits, numpy_dtype
from torch_parity.compare.aten.own_bounds import OwnBounds
from torch_parity.compare.aten.record import Record
from torch_parity.compare.aten.replay import largest, real
from torch_parity.compare.aten.snapshots import TensorRef
from torch_parity.compare.aten.writers import stretch
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.tensors import BoundedTensor

# A gap of more units of b's bound is not looked at again with what a's own calls round.
WORTH_IT = 1e6


class CommonNumbers:
    """memory is what b's calls compute, with a's numbers wherever both have them.

    tainted is memory that a call without a bound has a part in; lowered is that which lost digits
    in a cast; replaced are storages that a call gave to a tensor for its own (cuDNN puts an LSTM's
    weights together). bits are those of the models' own numbers.
    """

    def __init__(self, a: Record, b: Record, bits: int) -> None:
        self.alignment = Alignment(a, b)
        self.index = Index(a)
        self.memory = BoundedMemory(b)
        self.own = OwnBounds(a, bits)
        self.bits = bits
        # where all is float64, a gap of more units of b's bound is no rounding of float64
        self.worth_it = WORTH_IT if bits == digits(torch.float64) else np.inf
        self.tainted: set[Place] = set()
        self.lowered: set[Place] = set()
        self.replaced: set[int] = set()

    def share(self, ref: TensorRef, of_a: TensorRef) -> None:
        """Both have it, and a's copies of it."""
        self.alignment.shared[ref] = of_a
        self.alignment.known_of_a |= {copy.place for copy in self.index.copies(of_a)}

    def take(self, ref: TensorRef, of_a: TensorRef, numbers: np.ndarray) -> None:
        """b has a's tensor, and its numbers, in b's layout, stand for b's."""
        self.share(ref, of_a)
        self.alignment.known.add(ref.place)
        self.write_exactly(ref, numbers)

    def write_exactly(self, ref: TensorRef, numbers: np.ndarray) -> None:
        """The tensor has these numbers from now on, with no rounding in them."""
        exact = Bounded(numbers.copy(), np.zeros(numbers.shape), numpy_dtype(ref.dtype))
        self.memory.write(ref, BoundedTensor(exact, ref.dtype))

    def rounding_of(self, of_a: TensorRef) -> float | None:
        """What a's calls since the last common tensors may have rounded; None if unknown."""
        return self.own.of(of_a, self.alignment.known_of_a)

    def is_laid_out_as(self, of_a: TensorRef, numbers: np.ndarray) -> bool:
        """Whether the numbers are a's tensor, entry by entry: not a part of it, nor turned."""
        value = self.index.value(of_a)
        return value.size == numbers.size and np.array_equal(
            value.ravel(), numbers.ravel(), equal_nan=True
        )

    def may_be_rounding(self, of_a: TensorRef, use: float, gap: float) -> bool:
        """Whether what a's calls round may explain a gap of so many units of b's bound: a small
        number of them, or one that is small beside what a's calls are given, where it cancels."""
        if use < self.worth_it:
            return True
        return gap <= self.half_of_what_is_given(of_a, self.alignment.known_of_a - {of_a.place})

    def half_of_what_is_given(self, of_a: TensorRef, known: Collection[Place]) -> float:
        """Half of the digits of the largest number that a's calls are given from what is known to
        a tensor: numbers that cancel leave no larger rounding."""
        a = self.alignment.a
        calls = stretch(a, of_a, known)
        sizes = [largest(a.value(r)) for call in calls for r in call.inputs if real(r)]
        return float(2.0 ** (-self.bits / 2) * max(sizes, default=0.0))

    def bound_of(self, of_a: TensorRef, b: Bounded) -> Bounded | None:
        """What compiled code or NumPy may make of a's tensor: a's formula, with the bound of a's
        calls once for the rounding of either side; None if there is none."""
        if self.rounding_of(of_a) is None:
            return None
        found = self.own.computed[of_a]
        if found.size != b.size:
            return None
        error = 2 * found.error.reshape(b.shape)
        return Bounded(found.value.reshape(b.shape), error, found.judged)
