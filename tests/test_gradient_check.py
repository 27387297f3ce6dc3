"""Gradient checking by central differences, and torch's own."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch.autograd.gradcheck import GradcheckError

from torch_parity import manual
from torch_parity.manual.gradients.gradient_check import SHOWN, band, contributions, relative_norm
from torch_parity.torch_ref.gradients.gradient_check import gradient_check as torch_gradient_check
from torch_parity.torch_ref.models.mlp import MLP

NET = manual.MLP((4, 6, 5, 3), activation="tanh", l2=0.7, l1=0.2, m=9)


def problem() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], object]:
    rng = np.random.default_rng(6)
    shapes = {"W1": (6, 4), "b1": (6,), "W2": (5, 6), "b2": (5,), "W3": (3, 5), "b3": (3,)}
    params = {name: rng.normal(0, 0.5, shape) for name, shape in shapes.items()}
    x, y = rng.normal(size=(7, 4)), rng.integers(0, 3, 7)
    masks = {f"mask{k}": manual.dropout_mask(rng, (7, n), 0.3) for k, n in ((1, 6), (2, 5))}

    def cost(p: Mapping[str, np.ndarray]) -> float:
        t = manual.forward(NET, p, x, masks)
        return float(manual.cost(NET, p, t["a3"], y)["cost"])

    t = manual.forward(NET, params, x, masks)
    return params, manual.backward(NET, params, t, y, masks), cost


def test_the_network_is_very_likely_right() -> None:
    params, gradients, cost = problem()
    before = {name: p.copy() for name, p in params.items()}
    check = manual.gradient_check(cost, params, gradients)  # type: ignore[arg-type]
    assert check.difference < 1e-9, "seed 6"
    assert check.verdict == "very likely right"
    assert all(np.array_equal(before[n], params[n]) for n in params)


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(1e-6, "look closer"), (1e-4, "probably wrong"), (1.0, "wrong")],
)
def test_the_notes_bands(factor: float, verdict: str) -> None:
    """A gradient that is off by a share f of itself differs by about f / 2."""
    params, gradients, cost = problem()
    wrong = {name: g * (1 + factor) for name, g in gradients.items()}
    assert manual.gradient_check(cost, params, wrong).verdict == verdict  # type: ignore[arg-type]


def test_the_guilty_parameter_is_named() -> None:
    params, gradients, cost = problem()
    wrong = gradients | {"dW2": gradients["dW2"].copy()}
    wrong["dW2"][3, 1] *= 2
    check = manual.gradient_check(cost, params, wrong)  # type: ignore[arg-type]
    assert max(check.per_parameter, key=check.per_parameter.__getitem__) == "W2"
    assert check.verdict == "wrong"


def test_refusals() -> None:
    params, gradients, cost = problem()
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="fix its dropout masks"):
        manual.gradient_check(lambda p: float(rng.normal()), params, gradients)
    with pytest.raises(ValueError, match="fix its dropout masks"):
        manual.gradient_check(lambda p: float("nan"), params, gradients)
    with pytest.raises(ValueError, match="no gradient for W1"):
        manual.gradient_check(cost, params, {})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"dW1 has shape \(1,\), expected \(6, 4\)"):
        manual.gradient_check(cost, params, gradients | {"dW1": np.ones(1)})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="nothing would be checked"):
        manual.gradient_check(cost, {}, gradients)  # type: ignore[arg-type]


def test_a_gradient_of_nan_is_wrong() -> None:
    params, gradients, cost = problem()
    nans = gradients | {"db1": np.full(6, np.nan)}
    assert manual.gradient_check(cost, params, nans).verdict == "wrong"  # type: ignore[arg-type]


def test_torchs_own_check_passes_on_the_twin_and_fails_on_a_wrong_backward() -> None:
    torch.manual_seed(0)
    net = MLP((4, 5, 3), activation="tanh").double()
    x, y = torch.randn(6, 4, dtype=torch.float64), torch.randint(0, 3, (6,))
    loss = torch.nn.CrossEntropyLoss()
    assert torch_gradient_check(lambda: loss(net(x), y), net.parameters())

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, grad: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return 1.5 * grad

    with pytest.raises(GradcheckError):
        torch_gradient_check(lambda: loss(Wrong.apply(net(x)), y), net.parameters())


def test_the_entries_that_contribute_most_are_named_first() -> None:
    params, gradients, cost = problem()
    wrong = gradients | {"dW2": gradients["dW2"].copy(), "db1": gradients["db1"].copy()}
    wrong["dW2"][3, 1] += 2e-2
    wrong["db1"][4] -= 1e-2
    check = manual.gradient_check(cost, params, wrong)  # type: ignore[arg-type]
    first, second, *_ = check.worst
    assert len(check.worst) == SHOWN, "of all parameters together"
    assert (first.parameter, first.index) == ("W2", (3, 1))
    assert (second.parameter, second.index) == ("b1", (4,))
    assert (first.share, second.share) == pytest.approx((0.8, 0.2), rel=1e-3)
    assert first.given - first.expected == pytest.approx(2e-2, rel=1e-3)


def test_the_best_epsilon_lies_between_truncation_and_rounding() -> None:
    params, gradients, cost = problem()
    exact = {name: gradients["d" + name] for name in params}
    scan = manual.epsilon_scan(cost, params, exact)  # type: ignore[arg-type]
    best = min(scan, key=scan.__getitem__)
    assert 1e-7 < best < 1e-3
    assert scan[best] < 1e-9
    assert scan[1e-1] > 1e-4
    assert scan[1e-13] > 1e-5


def test_torchs_fast_mode() -> None:
    p = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch_gradient_check(lambda: (p**3).sum(), [p], fast_mode=True)


P = {"p": np.array([[0.0, 2.0, -1.0]]), "q": np.array([3.0])}


def cubes(p: Mapping[str, np.ndarray]) -> float:
    return float((p["p"] ** 3).sum() + p["q"][0] ** 2)


def test_differences_of_a_cube_are_off_by_epsilon_squared() -> None:
    """((p + e)^3 - (p - e)^3) / 2e = 3 p^2 + e^2; of a square the difference is exact."""
    found = manual.numerical_gradient(cubes, P, epsilon=0.5)
    assert np.array_equal(found["p"], [[0.25, 12.25, 3.25]])
    assert np.array_equal(found["q"], [6.0])
    at_0 = {"p": np.zeros(1)}
    found = manual.numerical_gradient(lambda p: float(p["p"][0] ** 3), at_0)
    assert found["p"][0] == pytest.approx(1e-5**2, rel=1e-12, abs=0)


def test_a_check_keeps_its_differences_and_takes_any_epsilon() -> None:
    gradients = {"dp": np.array([[0.0, 12.0, 3.0]]), "dq": np.array([6.0])}
    check = manual.gradient_check(cubes, P, gradients, epsilon=0.5)
    assert np.array_equal(check.numerical["p"], [[0.25, 12.25, 3.25]])
    size = np.sqrt(0 + 144 + 9 + 36) + np.sqrt(0.25**2 + 12.25**2 + 3.25**2 + 36)
    assert check.difference == pytest.approx(np.sqrt(3) * 0.25 / size)
    assert check.per_parameter["q"] == 0.0
    shares = [(c.parameter, c.index, c.share) for c in check.worst]
    assert sorted(shares) == [("p", (0, i), pytest.approx(1 / 3)) for i in range(3)]
    at_0, zero = {"p": np.zeros(1)}, {"dp": np.zeros(1)}
    default = manual.gradient_check(lambda p: float(p["p"][0] ** 3), at_0, zero)
    assert default.numerical["p"][0] == pytest.approx(1e-5**2, rel=1e-12, abs=0)


def test_the_limit_of_a_band_belongs_to_the_worse_one() -> None:
    assert [band(d) for d in (1e-7, 1e-5, 1e-3)] == ["look closer", "probably wrong", "wrong"]
    below = [band(d) for d in (0.9e-7, 0.9e-5, 0.9e-3, 1.0, np.inf)]
    assert below == ["very likely right", "look closer", "probably wrong", "wrong", "wrong"]


def test_a_scan_tries_thirteen_powers_of_ten() -> None:
    scan = manual.epsilon_scan(cubes, P, {"p": np.array([[0.0, 12.0, 3.0]]), "q": np.array([6.0])})
    assert list(scan) == [10.0**-k for k in range(1, 14)]


def test_the_worst_entries_of_a_parameter() -> None:
    """At most three; NaN first; right entries are not among them."""
    expected = np.zeros((2, 3))
    given = np.array([[0.0, 1.0, -2.0], [0.5, 3.0, 0.25]])
    found = contributions("W", given, expected)
    assert [(c.index, c.given, c.expected) for c in found] == [
        ((1, 1), 3.0, 0.0),
        ((0, 2), -2.0, 0.0),
        ((0, 1), 1.0, 0.0),
    ]
    assert found[0].share == pytest.approx(9 / (1 + 4 + 0.25 + 9 + 0.0625))
    assert contributions("W", given, expected, total=18.0)[0].share == 0.5
    assert contributions("W", given, expected, total=0.0)[0].share == 0.0
    given[0, 1] = np.nan
    first, second, *_ = contributions("W", given, expected)
    assert (first.index, first.share) == ((0, 1), 1.0)
    assert (second.index, second.share) == ((1, 1), 0.0)  # of an infinite sum
    assert contributions("W", expected, expected) == ()
    infinite = contributions("W", np.array([0.0, -np.inf]), np.zeros(2))
    assert [(c.index, c.share) for c in infinite] == [((1,), 1.0)]
    long = contributions("W", given.astype(np.longdouble), expected.astype(np.longdouble))
    for c in (infinite[0], *long):  # numbers that json writes
        assert {type(c.given), type(c.expected), type(c.share)} == {float}


def test_the_size_of_a_difference() -> None:
    assert relative_norm(np.array([3.0, 4.0]), np.array([0.0, 0.0])) == 1.0
    assert relative_norm(np.array([3.0, 4.0]), np.array([-3.0, 4.0])) == 0.6
    assert relative_norm(np.zeros(2), np.zeros(2)) == 0.0
