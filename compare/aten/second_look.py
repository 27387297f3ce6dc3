"""A result that is wrong by the bound of b's calls alone, looked at again with what a's calls round
and from common tensors further back."""

from itertools import chain
from typing import Any, Literal

import numpy as np

from torch_parity.compare.aten.common_numbers import CommonNumbers
from torch_parity.compare.aten.end_verdicts import greatest_use, half_of_the_digits
from torch_parity.compare.aten.ends import End
from torch_parity.compare.aten.further_back import FurtherBack, Reach
from torch_parity.compare.aten.memory import numpy_dtype
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.bounds.precision import precision


def second_look(
    common: CommonNumbers, end: End, numbers: np.ndarray, b: Bounded, vague: bool
) -> Literal["right", "wrong", "unjudged"]:
    """Whether the bounds of both sides, from the same common tensors, hold the gap. Bounds larger
    than half of the digits prove nothing; then the two have to be the same in the higher precision.
    vague says that this is so of a's own from the last common tensors."""
    if end.a_ref is None or not common.is_laid_out_as(end.a_ref, numbers):
        return "unjudged" if vague else "wrong"
    of_a = common.own.computed.get(end.a_ref)
    nearest = []
    if vague and of_a is not None and of_a.size == b.size:
        nearest = [Reach(of_a, b, common.alignment.known_of_a - {end.a_ref.place})]
    back = FurtherBack(common.alignment, common.index, end.ref, end.a_ref)
    doubtful = vague
    for reach in chain(nearest, back.reaches(common.bits)):
        both = Bounded(reach.of_b.value, reach.error, b.judged)
        if greatest_use(numbers, both) > 1:
            continue
        if float(reach.error.max()) <= half_of_the_digits(b, common.bits):
            return "right"
        exactly = _in_higher_precision(common, end, numbers, reach)
        if exactly == "same":
            return "right"
        doubtful = exactly == "unknown"
    return "unjudged" if doubtful else "wrong"


def _in_higher_precision(
    common: CommonNumbers, end: End, numbers: np.ndarray, reach: Reach
) -> Literal["same", "other", "unknown"]:
    """Whether the two are the same when both are computed from what they have in common in the
    higher precision, where rounding is smaller by the digits that it has more. A gap of more than
    half of the digits that are given is a step, as of floor at a tie: that is not for rounding to
    excuse."""
    assert end.a_ref is not None
    shape = numbers.shape
    value = reach.of_a.value.reshape(shape)
    recorded = common.index.value(end.a_ref).reshape(shape)
    finer = float(np.finfo(value.dtype).eps) / precision(numpy_dtype(end.ref.dtype)).eps
    if not np.array_equal(recorded, numbers) or finer >= 1:
        return "unknown"
    with np.errstate(all="ignore"):
        allowed: Any = 2 * finer * reach.error
        if (np.abs(value - reach.of_b.value) > allowed).any():
            return "other"
    most = common.half_of_what_is_given(end.a_ref, reach.known_of_a)
    gap = np.abs(numbers - reach.of_b.value).max()
    return "same" if float(max(allowed.max(), gap)) <= most else "unknown"
