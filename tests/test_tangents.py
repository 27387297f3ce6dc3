"""Numbers with a bound, and slopes by complex step: small cases worked out on paper.

u is the unit roundoff; variances are given in u^2.
"""

from collections.abc import Callable

import numpy as np
import pytest

from torch_parity.manual.gradients.tangents import (
    Uncertain,
    exactly,
    is_elementwise,
    slopes_of,
    uncertain_slopes,
)
from torch_parity.manual.ops.leaky_relu import leaky_relu
from torch_parity.manual.ops.relu import relu
from torch_parity.manual.ops.softmax import softmax

U = 2.0**-53


def uncertain(value: object, variance: object, jump: object) -> Uncertain:
    return Uncertain(np.array(value), np.array(variance) * U**2, np.array(jump))


def same(found: Uncertain, value: object, variance: object, jump: object) -> None:
    np.testing.assert_allclose(found.value, value, rtol=1e-15)
    np.testing.assert_allclose(found.variance / U**2, variance, rtol=1e-15)
    np.testing.assert_allclose(found.jump, jump, rtol=1e-15)
    assert found.jumps.shape == found.value.shape


ROW = uncertain([[3.0, -2.0]], [[4.0, 0.0]], [[0.5, 0.25]])


def test_the_bound_is_eight_deviations_and_the_jump() -> None:
    """Four for each of the two computations; and never 0, where a square has underflowed."""
    np.testing.assert_allclose(ROW.bound, [[16 * U + 0.5, 0.25]], rtol=1e-15)
    np.testing.assert_array_equal(exactly(np.ones((2, 3))).bound, np.full((2, 3), 1e-140))


def test_a_term_of_a_sum_is_rounded_as_often_as_there_are_terms_and_three_times_more() -> None:
    """n = 5: (8 u)^2 of 3^2 and of (-2)^2."""
    np.testing.assert_allclose(ROW.rounded(5) / U**2, [[4 + 64 * 9, 64 * 4]], rtol=1e-15)


def test_a_product_with_exact_weights() -> None:
    """(5 u)^2: two terms. The jumps add up without their signs."""
    W = np.array([[2.0, -1.0], [0.5, 4.0], [1.0, 1.0]])
    value, variance = [[8.0, -6.5, 1.0]], [[1016.0, 1657.25, 329.0]]
    same(ROW.times(W), value, variance, [[1.25, 1.25, 0.75]])
    same(uncertain([[3.0, -2.0]], [[4.0, 0.0]], 0.0).times(W), value, variance, [[0.0, 0.0, 0.0]])


def test_a_product_of_two_that_are_rounded() -> None:
    """Two stacks of one: 3 * 2 - 2 * (-1) and (5 u)^2 of each term, as below, but for the jumps:
    (0.5 * 2 + 0.25) and (3.5 * 1 + 2.25 * 4)."""
    one = uncertain([[[3.0, -2.0]]], [[[4.0, 0.0]]], [[[0.5, 0.25]]])
    other = uncertain([[[2.0], [-1.0]]], [[[1.0], [2.0]]], [[[1.0], [4.0]]])
    variance = (4 + 225) * 4 + 100 * 1 + 9 * 1 + 4 * 2
    same(one.product(other), [[[8.0]]], [[[variance]]], [[[1.25 + 3.5 + 9]]])
    smooth = Uncertain(one.value, one.variance, np.zeros(()))
    same(smooth.product(other), [[[8.0]]], [[[variance]]], [[[3 * 1 + 2 * 4]]])


def test_behind_an_elementwise_function() -> None:
    given = uncertain([3.0, -2.0, -1.0], [4.0, 1.0, 0.0], [0.5, 0.0, 0.5])
    slopes = uncertain([-2.0, 0.5, -2.0], [1.0, 16.0, 0.0], [0.0, 0.25, 0.25])
    same(given.scaled(slopes), [-6.0, -1.0, 2.0], [25.0, 64.25, 0.0], [1.0, 0.5, 1.375])


def test_a_sum_is_rounded_once() -> None:
    """In units of the sum of both squares: 9 + 1, and 4 + 16."""
    other = uncertain([[-1.0, 4.0]], [[2.0, 3.0]], [[0.25, 1.0]])
    same(ROW.plus(other), [[2.0, 2.0]], [[16.0, 23.0]], [[0.75, 1.25]])


def test_times_an_exact_number() -> None:
    same(ROW.weighed(-2.0), [[-6.0, 4.0]], [[16.0, 0.0]], [[1.0, 0.5]])


def test_rows_of_slopes_against_a_gradient() -> None:
    """One sample, one unit, two outputs: 3 * 2 - 2 * (-1); (5 u)^2 of each term."""
    slopes = uncertain([[[3.0, -2.0]]], [[[4.0, 0.0]]], [[[0.5, 0.25]]])
    gradient = uncertain([[2.0, -1.0]], [[1.0, 2.0]], [[0.0, 4.0]])
    variance = (4 + 225) * 4 + 100 * 1 + 9 * 1 + 4 * 2
    same(slopes.against(gradient), [[8.0]], [[variance]], [[0.5 * 2 + 0.25 + (2 + 0.25) * 4]])


Z = np.array([[0.5, -1.0, 2.0], [3.0, 0.25, -0.5]])


def test_slopes_of_an_elementwise_function() -> None:
    np.testing.assert_allclose(slopes_of(lambda z: z**3, Z, True), 3 * Z**2, rtol=1e-15)


def test_slopes_of_a_function_of_rows() -> None:
    """Input before output: z @ A has the slope A everywhere; a row's sum of squares has 2 z."""
    A = np.array([[1.0, 2.0], [-3.0, 0.5], [0.0, 4.0]])
    assert np.array_equal(slopes_of(lambda z: z @ A, Z, False), np.stack([A, A]))
    np.testing.assert_allclose(slopes_of(lambda z: (z * z).sum(1), Z, False), 2 * Z, rtol=1e-15)


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (np.tanh, True),
        (relu, True),
        (lambda z: z * np.array([[1.0], [np.nan]]), True),
        (softmax, False),
        (lambda z: z.sum(axis=1), False),
        (lambda z: z[:, ::-1], False),
        (lambda z: z[::-1], False),
        (lambda z: np.cumsum(z, axis=0), False),
    ],
)
def test_each_output_alone_or_not(f: Callable[[np.ndarray], np.ndarray], expected: bool) -> None:
    assert is_elementwise(f, Z) is expected


def test_a_smooth_slope_moves_with_the_rounding_of_z() -> None:
    """z^3 at 1, z known to 1e-3: its slope 3 moves by 6e-3, up or down."""
    found = uncertain_slopes(lambda z: z**3, np.ones((1, 4)), np.full((1, 4), 1e-6), True)
    np.testing.assert_allclose(found.value, 3.0, rtol=1e-15)
    np.testing.assert_allclose(np.sqrt(found.variance), 6e-3, rtol=1e-3)
    assert not found.jump.any()


def test_a_row_of_one_number_moves_as_well() -> None:
    """The sum of z^3 over a row of one, at 2, known to 1e-3: its slope 12 moves by 12e-3."""
    found = uncertain_slopes(
        lambda z: (z**3).sum(axis=1), np.full((1, 1), 2.0), np.full((1, 1), 1e-6), False
    )
    np.testing.assert_allclose(found.variance, [[12e-3**2]], rtol=2e-3)


def test_a_slope_is_as_exact_as_a_function_of_the_library() -> None:
    """4 units in the last place, 8 u, of 1 and of the slope."""
    found = uncertain_slopes(lambda z: -3.0 * z, np.ones((1, 2)), np.zeros((1, 2)), True)
    same(found, [[-3.0, -3.0]], [[32.0**2, 32.0**2]], [[0.0, 0.0]])


def test_where_a_row_is_shared_its_most_sensitive_entry_counts_for_all() -> None:
    """The row's sum of z^3 at (1, 2): slopes 3 and 12, which move by 6e-3 and 12e-3. The other row
    is known ten times better."""
    deviation = np.array([[1e-3, 1e-3], [1e-4, 1e-4]])
    z = np.array([[1.0, 2.0], [1.0, 2.0]])
    found = uncertain_slopes(lambda z: (z**3).sum(axis=1), z, deviation**2, False)
    expected = [[12e-3, 12e-3], [12e-4, 12e-4]]
    np.testing.assert_allclose(np.sqrt(found.variance), expected, rtol=2e-3)


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 3), (2, 4), (0, 4)])
def test_any_two_numbers_of_a_row_move_against_each_other(pair: tuple[int, int]) -> None:
    """A softmax depends on differences alone. Two have a = 1/2 and the others 0. The slope of a^2,
    2 a^2 (1 - a), moves by 2 a^2 (1 - a) (2 - 3 a) = 1/8 of the difference of the two, which moves
    by 2e-3 where each is known to 1e-3."""
    z = np.full((3, 5), -800.0)
    z[:, pair] = 3.0
    f = lambda rows: softmax(rows) ** 2  # noqa: E731
    found = uncertain_slopes(f, z, np.full(z.shape, 1e-6), False)
    moved = np.sqrt(found.variance[:, pair[0], pair[0]])
    np.testing.assert_allclose(moved, 2.5e-4, rtol=2e-2)


@pytest.mark.parametrize(("deviations", "at_kink"), [(0.0, True), (7.9, True), (8.1, False)])
@pytest.mark.parametrize("side", [-1, 1])
def test_within_eight_deviations_of_a_kink_either_slope_is_right(
    side: int, deviations: float, at_kink: bool
) -> None:
    z = np.array([[side * deviations * 1e-9, 5.0]])
    found = uncertain_slopes(
        lambda z: leaky_relu(z, negative_slope=0.25), z, np.full((1, 2), 1e-18), True
    )
    own = 1.0 if side > 0 else 0.25
    value, jump = (0.625, 0.375) if at_kink else (own, 0.0)
    variance = [[(8 * (1 + value)) ** 2, 16.0**2]]
    same(found, [[value, 1.0]], variance, [[jump, 0.0]])


def test_a_kink_at_an_exact_zero() -> None:
    found = uncertain_slopes(relu, np.zeros((1, 1)), np.zeros((1, 1)), True)
    same(found, [[0.5]], [[12.0**2]], [[0.5]])


def test_a_smooth_function_near_0_has_no_kink() -> None:
    found = uncertain_slopes(np.tanh, np.zeros((1, 1)), np.full((1, 1), 1e-18), True)
    same(found, [[1.0]], [[16.0**2]], [[0.0]])


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("apart", "is_kink"), [(2.5e-6, True), (1.5e-6, False)])
def test_slopes_that_differ_by_a_millionth_of_their_sum_are_a_kinks(
    apart: float, is_kink: bool, sign: int
) -> None:
    exact = np.zeros((1, 1))
    found = uncertain_slopes(
        lambda z: sign * leaky_relu(z, negative_slope=1 - apart), exact, exact, True
    )
    assert bool(found.jump.any()) is is_kink


def test_at_the_end_of_its_reach_a_kink_is_still_one() -> None:
    z = np.array([[1e-140, 2e-140]])
    found = uncertain_slopes(
        lambda z: leaky_relu(z, negative_slope=0.25), z, np.zeros((1, 2)), True
    )
    np.testing.assert_array_equal(found.jump, [[0.375, 0.0]])


def test_far_from_0_a_slope_that_changes_is_no_kink() -> None:
    """tanh at -1 and 1, known to 1e-3, beside a number near 0 that has a kink's reach."""
    z = np.array([[-1.0, 1.0, 0.0]])
    found = uncertain_slopes(np.tanh, z, np.array([[1e-6, 1e-6, 0.0]]), True)
    assert not found.jump.any()
    np.testing.assert_allclose(found.value, 1 - np.tanh(z) ** 2, rtol=1e-14)


def test_the_slopes_of_a_kink_are_those_at_the_ends_of_its_reach() -> None:
    """4 (e^z - 1) below 0 and 2 (e^z - 1) above, known to 1e-3."""

    def bent(z: np.ndarray) -> np.ndarray:
        return np.where(z.real > 0, 2.0, 4.0) * np.expm1(z)

    found = uncertain_slopes(bent, np.zeros((1, 1)), np.full((1, 1), 1e-6), True)
    low, high = 4 * np.exp(-8e-3), 2 * np.exp(8e-3)
    np.testing.assert_allclose(found.value, (low + high) / 2, rtol=1e-12)
    np.testing.assert_allclose(found.jump, (low - high) / 2, rtol=1e-12)


def test_the_numbers_of_a_row_move_up_and_down() -> None:
    """softmax does not see a row that moves as a whole."""
    found = uncertain_slopes(softmax, np.zeros((20, 3)), np.full((20, 3), 1e-6), False)
    assert found.variance.max() > 1e-10
