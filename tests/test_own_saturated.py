"""Code of one's own at saturated outputs, where torch's logistic loss is not its own derivative."""

import numpy as np
import pytest

from torch_parity import COURSE, Case, Layout, check, given
from torch_parity.compare.bounds.bounded import Bounded
from torch_parity.compare.judge.replayed import within_bound
from torch_parity.compare.judge.report import Report
from torch_parity.compare.sources.arrays.start import Given

FLAT = Case(data="moons", hidden=(2,), activation="relu", optimizer="sgd", lr=0.1, l2=0, p=0)


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
    for mine in ({"A1": A1}, {"dZ2": A2 - s["y"]}, {"A1": A1, "dZ2": A2 - s["y"]}):
        assert check(mine, s).outcome != "FAIL", mine.keys()
    assert check({"A1": A1 * 0.9, "dZ2": A2 - s["y"]}, s).outcome == "FAIL"


def test_what_the_replay_makes_no_number_of_is_not_judged() -> None:
    nothing = Bounded.exact(np.array([np.nan, 1.0]))
    kind = np.dtype(np.float64)
    assert within_bound("h", "f", np.ones(2), nothing, {kind}).outcome == "not judged"


def misclassified(z: float) -> Given:
    """Three samples; the first has score z, and label 0."""
    params = {"W1": np.eye(2), "b1": np.zeros(2), "W2": np.array([[z, 1.0]]), "b2": np.zeros(1)}
    x = np.array([[1.0, 0.0], [0.0, 1.0], [0.3, 0.2]])
    y = np.array([[0.0], [1.0], [0.0]])
    return given(FLAT, x=x, y=y, params=params, step=1)


def backward(s: Given, wrong: str = "") -> dict[str, np.ndarray]:
    """dz = (a - y) / m: the derivative of log(1 + e^z) - y z, the loss of one sample."""
    a1 = np.maximum(s["x"] @ s["W1"].T + s["b1"], 0)
    z2 = a1 @ s["W2"].T + s["b2"]
    a2 = sigmoid(z2)
    dz2 = (a2 - s["y"]) / 3
    if wrong == "sign":
        dz2 = -dz2
    if wrong == "entry":
        dz2[0] *= 1.01
    dW2, db2 = dz2.T @ a1, dz2.sum(0)
    if wrong == "db2":
        db2 = db2 / 3
    new = {"W2": s["W2"] - 0.1 * dW2, "b2": s["b2"] - 0.1 * db2}
    return {"z2": z2, "a2": a2, "dz2": dz2, "dW2": dW2, "db2": db2, **new}


GIVEN = [("dz2",), ("z2", "a2", "dz2"), ("W2", "b2"), ("z2", "a2", "dz2", "dW2", "db2", "W2", "b2")]


def judged(s: Given, names: tuple[str, ...], wrong: str = "") -> Report:
    mine = backward(s, wrong)
    return check({n: mine[n] for n in names}, s, layout=Layout())


@pytest.mark.parametrize("z", [30.0, 36.0, 40.0, 90.0])
@pytest.mark.parametrize("names", GIVEN, ids=str)
def test_the_derivative_is_not_wrong_where_torch_is_held_at_its_floor(
    z: float, names: tuple[str, ...]
) -> None:
    s = misclassified(z)
    report = judged(s, names)
    assert report.outcome == "UNJUDGED", report.verdict
    assert "BCELoss holds a (1 - a) at 1e-12" in report.verdict
    assert not report.causes
    assert judged(misclassified(20.0), names).passed
    for wrong in ("sign", "entry"):
        assert judged(s, names, wrong).outcome == "FAIL", wrong
    if names[-1] == "b2":
        assert judged(s, names, "db2").outcome == "FAIL"


def test_the_derivative_with_respect_to_a_is_not_wrong_either() -> None:
    """At z = 30, 1 - a is 9.4e-14, and torch divides by 1e-12."""
    s = misclassified(30.0)
    a2 = sigmoid(np.maximum(s["x"] @ s["W1"].T + s["b1"], 0) @ s["W2"].T)
    da2 = (a2 - s["y"]) / (a2 * (1 - a2)) / 3
    report = check({"a2": a2, "da2": da2}, s, layout=Layout())
    assert report.outcome == "UNJUDGED", report.verdict
    assert "1e-12" in report.verdict
    assert check({"a2": a2, "da2": -da2}, s, layout=Layout()).outcome == "FAIL"
