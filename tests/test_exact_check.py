"""What a check against the exact gradient says of each parameter; the plain loop beside it."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from torch_parity import manual
from torch_parity.manual.gradients.exact_check import _checked, hold
from torch_parity.manual.gradients.gradient_check import relative_norm
from torch_parity.manual.models.step import Tensors

LINE = manual.MLP((2, 3), loss="mse_loss")  # its cost is a square: its gradient is easy to write
ROWS = np.array([[1.0, 2.0], [-1.0, 0.5], [3.0, -2.0], [0.0, 1.0]])


def line() -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, np.ndarray]]:
    """Parameters, targets, and the gradient of mean((x W^T + b - y)^2)."""
    rng = np.random.default_rng(12)
    params = {"W1": rng.normal(size=(3, 2)), "b1": rng.normal(size=3)}
    y = rng.normal(size=(4, 3))
    off = 2 * (ROWS @ params["W1"].T + params["b1"] - y) / 12
    return params, y, {"dW1": off.T @ ROWS, "db1": off.sum(axis=0)}


def wide_bounds(jump: float = 0.0) -> manual.ExactGradient:
    """The gradient of line, with a bound of 1/2 for each entry, of which jump is no rounding."""
    _, _, g = line()
    value = {"W1": g["dW1"], "b1": g["db1"]}
    bounds = {n: np.full(v.shape, 0.5) for n, v in value.items()}
    return manual.ExactGradient(
        value, bounds, {n: np.full(v.shape, jump) for n, v in value.items()}, 5
    )


def held(gradients: Tensors, jump: float = 0.0) -> manual.ExactCheck:
    params, y, _ = line()
    return hold(wide_bounds(jump), LINE, params, ROWS, y, {}, gradients)


def test_the_share_of_the_bound_that_each_parameter_takes_up() -> None:
    _, _, g = line()
    off = g | {"dW1": g["dW1"].copy()}
    off["dW1"][1, 0] += 0.25
    off["dW1"][2, 1] -= 0.125
    check = held(off)
    of_W, of_b = check.parameters
    assert (of_W.name, of_W.entries, of_W.wrong, of_W.by_kink) == ("W1", 6, 0, 0)
    assert of_W.use == pytest.approx(0.5)
    assert [(c.index, c.given - c.expected) for c in of_W.worst[:2]] == [
        ((1, 0), pytest.approx(0.25)),
        ((2, 1), pytest.approx(-0.125)),
    ]
    assert of_W.difference == pytest.approx(relative_norm(off["dW1"], g["dW1"]))
    assert (of_b.name, of_b.use, of_b.difference) == ("b1", 0.0, 0.0)
    every = [np.concatenate([t["dW1"].ravel(), t["db1"]]) for t in (off, g)]
    assert check.difference == pytest.approx(relative_norm(*every))
    assert (check.entries, check.kinks, check.looped) == (9, 5, 8)
    assert check.loop_use < 1e-14
    assert check.passed
    assert check.verdict == "right to rounding"


def test_the_bound_itself_is_within_and_what_is_over_is_wrong() -> None:
    check = held({"dW1": wide_bounds().gradients["W1"], "db1": np.array([0.0, 0.0, 1e9])})
    assert check.parameters[1].wrong == 3 - int(
        (np.abs(wide_bounds().gradients["b1"][:2]) <= 0.5).sum()
    )
    exact = manual.ExactGradient({"b": np.zeros(4)}, {"b": np.full(4, 0.5)}, {"b": np.zeros(4)}, 0)
    found = _checked("b", np.array([0.5, -0.5, 0.625, np.nan]), exact)
    assert (found.use, found.wrong) == (np.inf, 2)
    unbounded = replace(exact, bounds={"b": np.full(4, np.inf)})
    assert _checked("b", np.zeros(4), unbounded).wrong == 4


def test_what_only_a_kink_explains_is_counted() -> None:
    """Of the bound 1/2, rounding has 1/8."""
    exact = manual.ExactGradient(
        {"b": np.zeros(5)}, {"b": np.full(5, 0.5)}, {"b": np.full(5, 0.375)}, 0
    )
    found = _checked("b", np.array([0.0, 0.125, -0.25, 0.5, 0.75]), exact)
    assert (found.by_kink, found.wrong, found.use) == (2, 1, 1.5)


def test_nothing_to_check_is_no_pass() -> None:
    assert not manual.ExactCheck(0.0, (), 0, 0, 0.0).passed
    some = held(line()[2])
    at_the_limit = replace(some, loop_use=1.0)
    assert at_the_limit.passed
    assert at_the_limit.verdict == "right to rounding"
    for disagreeing in (1.01, float("nan")):
        check = replace(some, loop_use=disagreeing)
        assert not check.passed
        assert check.verdict == "the fast scheme and the plain loop disagree"


def test_the_loop_steps_one_entry_at_a_time_and_changes_nothing() -> None:
    """p0 p1 + p2^3 at (2, 3, -1): slopes 3, 2, 3. A step left behind would add up."""
    p = {"p": np.array([[2.0, 3.0, -1.0]])}

    def cost(at: Mapping[str, np.ndarray]) -> complex:
        a, b, c = at["p"][0]
        return complex(a * b + c**3)

    entries = [("p", (0, i)) for i in (0, 1, 2, 0)]
    assert np.array_equal(manual.complex_step_gradient(cost, p, entries), [3.0, 2.0, 3.0, 3.0])
    assert np.array_equal(p["p"], [[2.0, 3.0, -1.0]])
    seen = []
    manual.complex_step_gradient(lambda at: seen.append(at["p"].dtype) or 0j, p, entries[:1])
    manual.complex_step_gradient(
        lambda at: seen.append(at["p"].dtype) or 0j, p, entries[:1], np.clongdouble
    )
    assert seen == [np.complex128, np.clongdouble]


def test_the_loop_may_be_off_by_twice_the_jump_more() -> None:
    """An exact gradient that is off by 0.6 itself: the bound 1/2, and twice 1/8."""
    params, y, g = line()
    exact = wide_bounds(0.125)
    exact = replace(exact, gradients={n: v + 0.6 for n, v in exact.gradients.items()})
    check = hold(exact, LINE, params, ROWS, y, {}, g)
    assert check.loop_use == pytest.approx(0.6 / 0.75)
