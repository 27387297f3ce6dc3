"""How large the bounds are on the way through a recorded forward, on cases worked out on paper.

Variances are in u^2, u = 2^-53. A linear layer of one input x = 1 whose sum cancels, z = W + b = 0,
has (1 + 3)^2 W^2 + (1 + 1)^2 b^2 = 20 b^2. The absolute error's slope is 1 or -1, with 16^2.
"""

from typing import Any

import numpy as np
import pytest

from tests.recorded_block import U, arrived, block_of, same, variances
from torch_parity import manual
from torch_parity.manual.gradients import block_gradient
from torch_parity.manual.gradients.tangents import Uncertain

EPS = float(np.finfo(np.longdouble).eps)


def test_at_a_kink_the_steeper_side_carries_the_rounding() -> None:
    """x = 1 and -2; slopes 1 and -3. Row 0: z is (0, 2), with 20 b^2 = (20, 16 * 9 + 4); a has
    (3^2 * 20, 148 + 16^2). Row 1: z is (-3, -7), with (16 * 4 + 4, 16 * 4 * 9 + 4), and a 3^2 times
    as much and 72^2, 168^2.

    Back, at the kink the middle is -1 and half the interval 2; 16^2 of the gradient of a as well as
    of the slope 1, 32^2 of the slope -3. The bias has these as terms in a sum of two: 5^2 more."""
    params = {"W": np.array([[1.0], [3.0]]), "b": np.array([-1.0, -1.0])}

    def forward(at: Any) -> np.ndarray:
        z = manual.linear(at["x"], at["W"], at["b"])
        return manual.identity(manual.leaky_relu(z, negative_slope=-3.0))

    block = block_of(forward, params, np.array([[-1.0, 1], [10, 22]]))
    z, a = variances(block)
    np.testing.assert_allclose(z, [[20, 148], [68, 580]], rtol=1e-12)
    np.testing.assert_allclose(a, [[180, 148 + 256], [612 + 72**2, 5220 + 168**2]], rtol=1e-12)
    kink, steep = 256 + 256, 9 * 256 + 32**2
    value, jump = [[-1, 1], [3, 3]], [[2.0, 0], [0, 0]]
    same(arrived(block, 0), value, [[kink, 512], [steep, steep]], jump)
    of_b = [kink + 25 + steep + 25 * 9, 512 + 25 + steep + 25 * 9]
    same(block.gradients["b"], [2, 4], of_b, [2, 0])
    assert block.kinks == 1


def test_a_function_of_rows() -> None:
    """softmax: da_k / dz_i = a_k (1[i = k] - a_i). z is 0, and -3 W in the row of x = -2, where it
    has 17 / 5 as much."""
    params = {"W": np.array([[1.0], [2.0], [4.0]]), "b": np.array([-1.0, -2.0, -4.0])}

    def forward(at: Any) -> np.ndarray:
        return manual.identity(manual.softmax(manual.linear(at["x"], at["W"], at["b"])))

    z, a = variances(block_of(forward, params, np.ones((2, 3))))
    np.testing.assert_allclose(z, [[20, 80, 320], [68, 272, 1088]], rtol=1e-12)
    e = np.exp([[0.0, 0, 0], [-3, -6, -12]])
    soft = e / e.sum(axis=1, keepdims=True)
    squares = np.stack([(soft[:, k, None] * (np.eye(3)[k] - soft)) ** 2 for k in range(3)], axis=1)
    expected = [[(squares[s, k] * z[s]).sum() for k in range(3)] for s in range(2)]
    np.testing.assert_allclose(a, expected + 64 * soft**2, rtol=1e-12)


def test_through_rows_and_back() -> None:
    """p = 0: each a is 1/3, each slope s is 2/9 or -1/9, with (8 + 8 |s|)^2 and (3 + 3)^2 s^2 as a
    term in a sum of three; the gradients 1, -1, -1 have 16^2."""

    def forward(at: Any) -> np.ndarray:
        return manual.identity(manual.softmax(at["p"]))

    block = block_of(forward, {"p": np.zeros((2, 3))}, np.array([[0.0, 1, 1]] * 2))
    np.testing.assert_allclose(variances(block)[0], 64 / 9, rtol=1e-12)
    slopes = np.eye(3) / 3 - 1 / 9
    of_slopes = (8 * (1 + np.abs(slopes))) ** 2 + 36 * slopes**2 + 256 * slopes**2
    same(arrived(block, 0), [[1, -1, -1]] * 2, 256)
    same(block.gradients["p"], [slopes @ [1, -1, -1]] * 2, [of_slopes.sum(axis=1)] * 2)


def test_what_is_followed_leaves_the_rounding_of_all_before() -> None:
    """h = p has (8 p)^2, and the same after two permutations; their sum has (2 p)^2 of its own. The
    gradient of h is the sum of two, 16^2 and 1^2 each."""
    p = np.array([[1.0, 2.0, 4.0], [8.0, -1.0, 0.5]])

    def forward(at: Any) -> np.ndarray:
        h = manual.identity(at["p"])
        turned = manual.permute(h, dims=(1, 0))
        return manual.add(h, manual.permute(turned, dims=(1, 0)))

    block = block_of(forward, {"p": p}, np.full((2, 3), 20.0))
    h, turned, back, total = variances(block)
    np.testing.assert_allclose(turned, h.T, rtol=1e-12)
    np.testing.assert_allclose(back, h, rtol=1e-12)
    np.testing.assert_allclose(total, (64 + 64 + 4) * p**2, rtol=1e-12)
    same(arrived(block, 0), -2, 256 + 256 + 2)


def test_what_the_parameters_do_not_move_is_rounded_as_a_function() -> None:
    """(8 out)^2 of each result, also where there are several: 3 and -6 of x = 1 and -2. A linear
    layer with W = 1/2 makes ((8 * 6)^2 + (4 * 6)^2) / 4 of it."""

    def forward(at: Any) -> np.ndarray:
        tripled = manual.scale(at["x"], factor=3.0)
        _, other = manual.split(tripled, split_size=1)
        return manual.identity(manual.linear_no_bias(other, at["W"]))

    block = block_of(forward, {"W": np.array([[0.5]])}, np.zeros((1, 1)))
    tripled, one, other, z = variances(block)
    np.testing.assert_array_equal(tripled, [[24**2], [48**2]])
    np.testing.assert_array_equal((one, other), [[[24**2]], [[48**2]]])
    np.testing.assert_array_equal(z, [[24**2 + 12**2]])
    same(block.gradients["W"], [[6.0]], 48**2 + 36 * (256 + 16))


def test_a_linear_layer() -> None:
    """h = p has (8 p)^2; of the two terms of a sum each has (2 + 3)^2 more, and (2 + 1)^2 b^2 is
    the bias. Back through W it is a sum of three, 6^2, and W's and b's are sums of two samples."""
    p, W = np.array([[1.0, 2.0], [-4.0, 0.5]]), np.array([[1.0, 2.0], [4.0, -0.5], [8.0, 1.0]])

    def forward(at: Any) -> np.ndarray:
        return manual.identity(manual.linear(manual.identity(at["p"]), at["W"], at["b"]))

    block = block_of(
        forward, {"p": p, "W": W, "b": np.array([1.0, 2.0, 3.0])}, np.array([[99.0, -99, 99]] * 2)
    )
    of_sums = (64 + 25) * p**2 @ W.T**2 + 9 * np.array([1.0, 4.0, 9.0])
    np.testing.assert_allclose(variances(block)[1], of_sums, rtol=1e-12)
    g = np.array([[-1.0, 1.0, -1.0]] * 2)
    same(arrived(block, 0), g @ W, (256 + 36) * g**2 @ W**2)
    same(block.gradients["W"], g.T @ p, (256 + 25 + 64) * g.T**2 @ p**2)
    same(block.gradients["b"], g.sum(axis=0), 2 * (256 + 25))


def test_a_parameter_that_nothing_reads_has_no_gradient() -> None:
    params = {"used": np.ones((2, 1)), "unused": np.ones((2, 1))}
    block = block_of(lambda at: manual.identity(at["used"]), params, np.zeros((2, 1)))
    assert list(block.gradients) == ["used"]


def test_a_kink_of_the_output_counts_once() -> None:
    block = block_of(lambda at: manual.relu(at["p"]), {"p": np.zeros((2, 3))}, np.ones((2, 3)))
    assert block.kinks == 6
    same(block.gradients["p"], -0.5, 144, 0.5)


@pytest.mark.parametrize("which", [0, 1])
def test_one_of_several_results_is_the_networks(which: int) -> None:
    p = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])

    def forward(at: Any) -> np.ndarray:
        part: np.ndarray = manual.split(at["p"], split_size=(1, 2), dim=1)[which]
        return part

    block = block_of(forward, {"p": p}, np.zeros((2, 1 + which)))
    read = np.array([[1, 0, 0], [0, 1, 1]][which])
    same(block.gradients["p"], [read] * 2, 256 * read)


def test_one_number_of_each_row_is_followed() -> None:
    """Each row's sum of p: of two terms with (5 p)^2 each."""
    p = np.array([[1.0, 2.0], [3.0, -5.0], [0.5, 4.0]])
    block = block_of(lambda at: manual.sum(at["p"], dim=1), {"p": p}, np.array([9.0, 9, 9]))
    np.testing.assert_allclose(variances(block)[0], 25 * (p**2).sum(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(block.gradients["p"].value, -np.ones((3, 2)))


def test_backward_may_cancel_between_a_loss_and_the_rows_it_reads() -> None:
    """softmax and the squared error e^2, e = a - y, in one: the slope of a row is
    sum_k 2 e_k a_k (1[i = k] - a_i), with (8 + 8 |s|)^2, and (8 sum |2 e a|)^2 of the backward."""
    p, y = np.log([[1.0, 2.0, 1.0], [1.0, 6.0, 1.0]]), np.array([[0.75, 0.25, 0], [0.5, 0.5, 0.5]])
    block = block_of(lambda at: manual.softmax(at["p"]), {"p": p}, y, "mse_loss")
    a = np.array([[0.25, 0.5, 0.25], [0.125, 0.75, 0.125]])
    each = 2 * (a - y) * a
    slope = each - a * each.sum(axis=1, keepdims=True)
    more = (8 * np.abs(each).sum(axis=1, keepdims=True)) ** 2
    same(block.gradients["p"], slope, (8 * (1 + np.abs(slope))) ** 2 + more)
    assert block.losses == 6


A = np.array([[0.25, 0.125, 0.5], [0.9375, 0.6875, 0.75]])
Y = np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
HELD = np.array([[0, 1, 0], [1, 0, 0]], bool)  # a (1 - a) is 48, 28, 64; 15, 55, 48 / 256


def slopes_of_the_loss(monkeypatch: pytest.MonkeyPatch) -> Uncertain:
    monkeypatch.setattr(block_gradient, "SLOPE_FLOOR", 24 / 256)
    value = np.array([[-0.75, 0.5, -0.25], [0.5, -0.125, 2.0]])
    return Uncertain(value, np.full((2, 3), EPS**2), np.full((2, 3), 0.0625))


def test_a_held_slope_of_logistic_loss_is_anything_up_to_a_minus_y(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twice the floor is 48 / 256 here; what is not below it keeps its slope, with 8 units of long
    double of 1 - a."""
    given = slopes_of_the_loss(monkeypatch)
    found = block_gradient._on_probabilities(given, A, Y, elementwise=True)
    e = np.where(HELD, A - Y, 0)
    same(
        Uncertain(found.value, found.variance / EPS**2 * U**2, found.jump),
        np.where(HELD, e / 2, given.value),
        1 + (8 * given.value / np.where(HELD, 1, 1 - A)) ** 2,
        np.abs(e) / 2,
    )


def test_a_held_slope_in_a_row_makes_all_of_the_row_uncertain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By twice |a - y|: 7/8 in the first row, 15/16 in the second."""
    given = slopes_of_the_loss(monkeypatch)
    found = block_gradient._on_probabilities(given, A, Y, elementwise=False)
    jump = 0.0625 + 2 * np.array([[0.875], [0.9375]])
    same(found, given.value, given.variance / U**2, jump)
