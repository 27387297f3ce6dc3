"""Gradient checking by central differences, and torch's own."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch.autograd.gradcheck import GradcheckError

from torch_parity import manual
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
