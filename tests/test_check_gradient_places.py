"""check_gradient at awkward places: next to the end of a domain, where a forward bends within a
step, and where an output saturates. Right gradients are not wrong there, and wrong ones are."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from torch_parity import check_gradient

Function = Callable[..., Any]
LONGER = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps / 1000


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def softmax(z: Any) -> Any:
    e = np.exp(z - z.max())
    return e / e.sum()


# forward, its slope, and where
STEEP: dict[str, tuple[Function, Function, list[float]]] = {
    "sqrt": (np.sqrt, lambda z: 0.5 / np.sqrt(z), [1e-6, 1e-7, 1e-12, 1.0]),
    "log": (np.log, lambda z: 1 / z, [1e-8, 2e-5, 3.0]),
    "sin": (lambda z: np.sin(1e6 * z), lambda z: 1e6 * np.cos(1e6 * z), [0.3, 0.7]),
    "entropy": (lambda z: -z * np.log(z), lambda z: -np.log(z) - 1, [1e-6, 0.2]),
    "inverse": (lambda z: 1 / z, lambda z: -1 / z**2, [2e-5, 1e-3]),
}


@pytest.mark.parametrize("name", STEEP)
def test_where_a_step_of_1e_5_is_too_long(name: str) -> None:
    forward, slope, at = STEEP[name]
    z = np.array(at)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        right = check_gradient(forward, lambda d, z: d * slope(z), {"z": z}, np.ones_like(z))
    assert (right.method, right.outcome) == ("exact", "PASS"), right
    for factor in (1 + 1e-6, 0.5, -1.0):
        wrong = check_gradient(
            forward, lambda d, z, f=factor: f * d * slope(z), {"z": z}, np.ones_like(z)
        )
        assert wrong.outcome == "FAIL", wrong


def test_the_two_sided_number_is_no_witness_where_the_forward_bends() -> None:
    h, z = 1e-5, np.array([0.3])

    def difference(d: Any, z: Any) -> Any:
        return d * (np.sin(1e6 * (z + h)) - np.sin(1e6 * (z - h))) / (2 * h)

    forward = STEEP["sin"][0]
    assert check_gradient(forward, difference, {"z": z}, np.ones(1)).outcome == "FAIL"


def test_differences_stay_in_the_domain() -> None:
    """abs takes no complex step; sqrt of |z| bends at 0, which is 1e-6 away."""
    z = np.array([1e-6, 4.0, 0.25])
    forward = lambda z: np.sqrt(np.abs(z))  # noqa: E731
    for factor, outcome in ((1.0, "PASS"), (1.01, "FAIL"), (-1.0, "FAIL")):
        c = check_gradient(
            forward, lambda d, z, f=factor: f * d * 0.5 / np.sqrt(z), {"z": z}, np.ones(3)
        )
        assert (c.method, c.outcome) == ("two-sided", outcome), c
        assert "does not accept complex numbers" in c.note


@pytest.mark.parametrize(
    ("forward", "backward", "z"),
    [
        (lambda z: z**2, lambda d, z: 2 * d * z, 1e200),
        (np.log, lambda d, z: d / z, 1e-300),
        (np.sqrt, lambda d, z: d * 0.0, 0.0),
    ],
    ids=["overflows", "next to 0", "at the end"],
)
def test_where_nothing_can_be_trusted_it_is_unjudged(forward: Any, backward: Any, z: float) -> None:
    with np.errstate(all="ignore"):
        c = check_gradient(forward, backward, {"z": np.array([z, 2.0])}, np.array([1.0, 0.0]))
        assert c.outcome != "FAIL", c
        assert "does not accept complex numbers" not in str(c)
        lost = check_gradient(
            forward, lambda d, z: backward(d, z) * np.nan, {"z": np.array([z, 2.0])}, np.ones(2)
        )
        assert lost.outcome == "FAIL", lost


SATURATED: dict[str, tuple[Function, Function, bool]] = {
    "a (1 - a)": (sigmoid, lambda d, z: d * sigmoid(z) * (1 - sigmoid(z)), True),
    "a - 1": (lambda z: np.log1p(np.exp(-z)).sum(), lambda z: sigmoid(z) - 1, False),
}


@pytest.mark.parametrize("z", [20.0, 36.0, 37.0, 40.0, 100.0])
@pytest.mark.parametrize("name", SATURATED)
def test_what_saturates_is_not_wrong(name: str, z: float) -> None:
    """Of 1 - a, e^-z, no digit is left beyond z = 36.7 in float64."""
    forward, backward, takes = SATURATED[name]
    upstream = np.ones(1) if takes else None
    at = {"z": np.array([z])}
    c = check_gradient(forward, backward, at, upstream)
    assert c.outcome == "UNJUDGED", c
    for factor in (-1.0, 2.0):
        wrong = check_gradient(forward, lambda *a, f=factor: f * backward(*a), at, upstream)
        shows = z < 30 or (z < 50 and LONGER)  # long double keeps 1 - a up to z = 44
        assert wrong.outcome == ("FAIL" if shows else "UNJUDGED"), wrong
    larger = check_gradient(forward, lambda *a: backward(*a) + 1e-10, at, upstream)
    assert larger.outcome == "FAIL", larger


def test_a_saturated_softmax_is_not_wrong() -> None:
    z, d = np.array([100.0, 0.0, -50.0]), np.array([1.0, 2.0, 3.0])

    def backward(d: Any, z: Any) -> Any:
        a = softmax(z)
        return a * (d - (d * a).sum())

    assert check_gradient(softmax, backward, {"z": z}, d).outcome == "UNJUDGED"
    for spoilt in (lambda d, z: -backward(d, z) + 1e-12, lambda d, z: d * softmax(z)):
        assert check_gradient(softmax, spoilt, {"z": z}, d).outcome == "FAIL"
    near = np.array([1.0, 0.0, -0.5])
    assert check_gradient(softmax, backward, {"z": near}, d).outcome == "PASS"
    assert check_gradient(softmax, lambda d, z: -backward(d, z), {"z": z / 50}, d).outcome == "FAIL"
