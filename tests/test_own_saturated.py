"""Code of one's own at saturated outputs."""

import numpy as np

from torch_parity import COURSE, Case, check, given
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.judge.replayed import within_bound


def sigmoid(z: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-z)))


def test_weights_so_large_that_every_unit_saturates_are_judged() -> None:
    """e^-z / e^-z, a form of tanh, is no number there."""
    case = Case(
        data="moons", hidden=(4,), activation="tanh", optimizer="sgd", lr=0.1, l2=0, p=0,
        scale=1e5, initializer="normal",
    )  # fmt: skip
    s = given(case, layout=COURSE, step=1)
    A1 = np.tanh(s["W1"] @ s["x"] + s["b1"])
    A2 = sigmoid(s["W2"] @ A1 + s["b2"])
    assert check({"A1": A1}, s).outcome != "FAIL"
    assert check({"A1": A1, "dZ2": A2 - s["y"]}, s).outcome != "PASS"
    assert check({"A1": A1 * 0.9, "dZ2": A2 - s["y"]}, s).outcome == "FAIL"


def test_what_the_replay_makes_no_number_of_is_not_judged() -> None:
    nothing = Bounded.exact(np.array([np.nan, 1.0]))
    kind = np.dtype(np.float64)
    assert within_bound("h", "f", np.ones(2), nothing, {kind}).outcome == "not judged"
