"""The steps that a followed forward is made of: their rounding, worked out on paper in u^2."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.recorded_block import U, same
from torch_parity.manual.gradients import elementary
from torch_parity.manual.gradients.elementary import Step, arranged, constant, of_ufunc, summed
from torch_parity.manual.gradients.tangents import Uncertain, exactly


def given(value: Any, variance: Any) -> Step:
    a = np.array(value, np.float64)
    return Step(a, np.broadcast_to(np.array(variance) * U**2, a.shape), derived=True)


def back(made: Step, *read: Step) -> list[Uncertain]:
    """The gradients for an exact 1 at each number of the result."""
    made.arrive(exactly(np.ones(made.value.shape)))
    elementary.go_back([made])
    found = [step.arrived for step in read]
    return [g for g in found if g is not None]


def test_a_quotient() -> None:
    """3 / 4: slopes 1/4 and -3/16, each with (3 s)^2. 1/b moves by 1/16 of b, and a/b^2 by 1/16 of
    a and 2 * 3/64 of b."""
    a, b = given([3.0], 2.0), given([4.0], 5.0)
    made = of_ufunc(np.divide, [a, b])
    same(made.uncertain, 0.75, 0.75**2 + 2 / 16 + 5 * (3 / 16) ** 2)
    to_a, to_b = back(made, a, b)
    same(to_a, 0.25, 5 / 256 + (3 / 4) ** 2)
    same(to_b, -3 / 16, 2 / 256 + 5 * (6 / 64) ** 2 + (9 / 16) ** 2)


def test_the_exponential_is_its_own_slope() -> None:
    """e^2, known to 3 e^4 for the 3 of z and (8 e^2)^2 of its own: result and slope alike."""
    z = given([2.0], 3.0)
    made = of_ufunc(np.exp, [z])
    e2 = np.exp(2.0)
    same(made.uncertain, e2, (3 + 64) * e2**2)
    (to_z,) = back(made, z)
    same(to_z, e2, (3 + 64) * e2**2)


SLOPES: list[tuple[np.ufunc, Callable[[float], float]]] = [
    (np.sin, np.cos),
    (np.cos, lambda z: -np.sin(z)),
    (np.reciprocal, lambda z: -1 / z**2),
    (np.expm1, np.exp),
    (np.log1p, lambda z: 1 / (1 + z)),
    (np.sqrt, lambda z: 0.5 / z**0.5),
    (np.square, lambda z: 2 * z),
]


@pytest.mark.parametrize(("ufunc", "slope"), SLOPES)
def test_functions_of_one_number(ufunc: np.ufunc, slope: Callable[[float], float]) -> None:
    z = given([0.7], 0.0)
    made = of_ufunc(ufunc, [z])
    (to_z,) = back(made, z)
    np.testing.assert_allclose(made.value, ufunc(0.7), rtol=1e-15)
    np.testing.assert_allclose(to_z.value, slope(0.7), rtol=1e-14)


def test_a_function_whose_slope_is_not_known_is_refused() -> None:
    with pytest.raises(TypeError, match=r"numpy\.absolute has no rule"):
        of_ufunc(np.abs, [given([1.0], 0.0)])


def test_what_is_infinite_is_so_exactly() -> None:
    made = of_ufunc(np.add, [given([1.0, 2.0], 0.0), constant([-np.inf, 1.0])])
    np.testing.assert_array_equal(made.variance / U**2, [0.0, 9.0])


def test_what_depends_on_nothing_derived_is_not_derived() -> None:
    made = of_ufunc(np.exp, [constant([1.0])])
    assert (made.derived, list(made.reads)) == (False, [])
    one = of_ufunc(np.add, [constant([1.0]), given([2.0], 0.0)])
    assert one.derived
    assert len(one.reads) == 1


def test_a_number_that_is_used_twice_is_a_sum_of_two() -> None:
    """(2 + 3)^2 of each of its gradients; those that are used once are not rounded."""
    a = given([1.0, 2.0, 3.0], 0.0)
    (to_a,) = back(arranged(lambda a: a[np.array([0, 0, 1])], [a]), a)
    same(to_a, [2, 1, 0], [50, 25, 0])
    (once,) = back(arranged(lambda a: a[::-1], [b := given([1.0, 2.0], 0.0)]), b)
    same(once, 1, 0)


def test_a_sum_of_all_numbers() -> None:
    """Of four terms: (4 + 3)^2 of each. Its value is an array like any other."""
    made = summed(given([[1.0, -2.0], [3.0, 0.5]], 2.0), None, keepdims=False)
    same(made.uncertain, 2.5, 4 * 2 + 49 * (1 + 4 + 9 + 0.25))
    assert type(made.value) is type(made.variance) is np.ndarray
    assert summed(given(np.zeros((0, 3)), 0.0), 1, keepdims=False).value.shape == (0,)


def test_an_einsum_may_be_written_with_spaces() -> None:
    a, b = given([[1.0, 2.0], [3.0, 4.0]], 0.0), given([[5.0, -1.0]], 0.0)
    made = elementary.einsum("ij, kj -> ki", [a, b])
    np.testing.assert_array_equal(made.value, [[3.0, 11.0]])
    with pytest.raises(ValueError, match="zip"):
        elementary.einsum("ij,kj->ki", [a])
    with pytest.raises(TypeError, match="no rule"):
        elementary.einsum("...j->j", [a])


def test_the_ends_stay_where_they_are() -> None:
    """Two readers of one step: it has what both hand back."""
    a = given([3.0], 0.0)
    ends = [of_ufunc(np.negative, [a]), of_ufunc(np.negative, [a])]
    for end in ends:
        end.arrive(exactly(np.ones(1)))
    elementary.go_back(ends)
    assert len(ends) == 2
    assert a.arrived is not None
    same(a.arrived, -2, 2)
