"""The exact gradient: against the backward by hand, autograd and the plain loop; it can fail."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.gradients import Drawn, draw, torch_misses, with_error
from torch_parity import manual
from torch_parity.compare.choices import losses
from torch_parity.compare.gradients.torch_cost import torch_cost
from torch_parity.manual.gradients import block_gradient
from torch_parity.manual.gradients.gradient_check import relative_norm
from torch_parity.manual.models.step import Tensors
from torch_parity.torch_ref.gradients.exact_gradient import exact_gradient as torch_exact_gradient

MODULE = sys.modules[
    "torch_parity.manual.gradients.exact_gradient"
]  # its function hides it in the package
ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "identity", "softmax")


def problem(seed: int = 0, **fixed: Any) -> Drawn:
    """A network whose numbers are of ordinary size."""
    choices = {"hidden": (5, 4), "loss": "cross_entropy", "output": "identity", "p": 0.3}
    choices |= {"l2": 0.7, "l1": 0.0, "activation": "tanh", "reduction": "mean"}
    return draw(seed, **(choices | fixed))


def gap(d: Drawn, gradients: Tensors) -> float:
    """The relative norm of all parameters at once."""
    exact = d.exact().gradients
    given = np.concatenate([gradients["d" + n].ravel() for n in exact])
    return relative_norm(given, np.concatenate([g.ravel() for g in exact.values()]))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("output_loss", [(o, loss) for loss in losses() for o in ACTIVATIONS])
@pytest.mark.every(2)
def test_every_activation_output_and_loss(
    activation: str, output_loss: tuple[str, str], reduction: str
) -> None:
    """Without the roundings that cancel: a relative norm of 1e-13, from autograd as well."""
    output, loss = output_loss
    try:
        d = problem(3, activation=activation, output=output, loss=loss, reduction=reduction)
    except ValueError:
        return  # this output does not fit this loss: Case says so
    for side in (d.manual, d.torch):
        assert gap(d, side) < 1e-13, f"seed 3, {d.net}"
        assert d.check(side).passed, f"seed 3, {d.net}"


@pytest.mark.parametrize("depth", range(1, 6))
@pytest.mark.parametrize("penalty", [{}, {"l1": 0.3}, {"l2": 0.9}, {"l1": 0.3, "l2": 0.9}])
def test_every_depth_and_penalty(depth: int, penalty: dict[str, float]) -> None:
    d = problem(depth, hidden=(6, 5, 4, 3)[: depth - 1], l2=penalty.pop("l2", 0.0), **penalty)
    assert gap(d, d.manual) < 1e-13, f"seed {depth}, {d.net}"
    assert gap(d, d.torch) < 1e-13, f"seed {depth}, {d.net}"


@pytest.mark.parametrize("block", range(8))
def test_random_networks_are_right_and_planted_errors_are_found(block: int) -> None:
    """150 networks, each side; one entry off by 1e-9 of itself, which torch's gradcheck misses."""
    for seed in range(20 * block, 20 * block + 19):
        d = draw(seed)
        for side in (d.manual, d.torch):
            check = d.check(side)
            assert check.passed, f"seed {seed}, {d.net}: {check}"
        planted = with_error(d, seed, 1e-9)
        if planted is None:
            continue
        wrong, name, index = planted
        check = d.check(wrong)
        assert check.wrong == (name,), f"seed {seed}, {d.net}: {name}{index} not found"


def test_torchs_gradcheck_misses_what_this_finds() -> None:
    d = problem(2, p=0.0)
    planted = with_error(d, 2, 1e-9)
    assert planted is not None
    wrong, name, index = planted
    assert torch_misses(d, name, index, 1e-9)
    assert not torch_misses(d, name, index, 1e3)  # it can fail
    check = d.check(wrong)
    (parameter,) = (p for p in check.parameters if p.wrong)
    assert (parameter.name, parameter.worst[0].index) == (name, index)
    assert parameter.wrong == 1
    assert check.verdict == f"wrong: {name}"


# forward mode loads decompositions that torch itself still scripts
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is:DeprecationWarning")
def test_torch_s_own_forward_mode_agrees() -> None:
    d = problem(4, l1=0.3)
    cost = torch_cost(d.pair.torch, d.x, d.y, d.masks)
    exact = torch_exact_gradient(cost, {n: torch.tensor(p) for n, p in d.params.items()})
    for name, slope in exact.items():
        assert relative_norm(slope.numpy(), d.exact().gradients[name]) < 1e-14, name


def test_torch_s_forward_mode_refuses_random_dropout() -> None:
    with pytest.raises(RuntimeError, match="randomness"):
        torch_exact_gradient(
            lambda p: torch.nn.functional.dropout(p["W"]).sum(), {"W": torch.ones(3)}
        )


def test_it_is_the_plain_loop() -> None:
    """Every entry, and in parts so small that samples and units are taken apart."""
    d = problem(5, activation="softmax", l1=0.2)

    def cost(p: Mapping[str, np.ndarray]) -> complex:
        t = manual.forward(d.net, p, d.x, d.masks)
        return complex(manual.cost(d.net, p, t["a3"], d.y)["cost"])

    entries = [(n, i) for n, p in d.params.items() for i in np.ndindex(p.shape)]
    loop = manual.complex_step_gradient(cost, d.params, entries)
    whole = np.concatenate([g.ravel() for g in d.exact().gradients.values()])
    assert relative_norm(loop, whole) < 1e-14


def test_parts_of_any_size_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    d = problem(5, activation="relu")
    whole = d.exact()
    monkeypatch.setattr(MODULE, "NUMBERS_AT_ONCE", 7)
    parts = d.exact()
    for name, g in whole.gradients.items():
        assert np.all(np.abs(g - parts.gradients[name]) <= whole.bounds[name])
        assert np.allclose(parts.bounds[name], whole.bounds[name], rtol=0.5)


def test_a_scheme_that_is_wrong_itself_is_seen_by_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    d = problem(6)
    right = block_gradient._bias
    monkeypatch.setattr(block_gradient, "_bias", lambda dz: right(dz).weighed(1.0001))
    exact = d.exact()
    wrong = {"d" + n: g for n, g in exact.gradients.items()}
    check = d.check(wrong)
    assert not check.wrong
    assert not check.passed
    assert check.verdict == "the fast scheme and the plain loop disagree"


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_at_a_kink_either_slope_is_right_and_nothing_else(activation: str) -> None:
    """All z are 0: weights and biases of the first layer are."""
    d = problem(7, activation=activation, hidden=(4,), l2=0.0, p=0.0, negative_slope=0.25)
    params = d.params | {n: np.zeros_like(d.params[n]) for n in ("W1", "b1")}
    d = replace(d, params=params)
    t = manual.forward(d.net, params, d.x, {})
    right = manual.backward(d.net, params, t, d.y, {})
    assert d.check(right).passed
    assert d.exact().kinks == 4 * len(d.x)
    slope = {"relu": 0.0, "leaky_relu": 0.25}[activation]
    da = right["dz2"] @ params["W2"]
    for factor, passes in ((slope, True), (1.0, True), (0.6, True), (1.5, False), (-0.6, False)):
        dz = da * factor
        g = right | {"dW1": dz.T @ d.x, "db1": dz.sum(axis=0)}
        assert d.check(g).passed == passes, factor
        if passes and factor > 0:
            assert d.check(g).verdict == "right but for kinks"


def test_a_weight_of_zero_under_l1_is_a_kink() -> None:
    d = problem(8, l1=0.4, l2=0.0)
    W = d.params["W2"].copy()
    W[1, 2] = 0
    d = replace(d, params=d.params | {"W2": W})
    t = manual.forward(d.net, d.params, d.x, d.masks)
    right = manual.backward(d.net, d.params, t, d.y, d.masks)
    assert d.exact().kinks == 1
    for shift, passes in ((0.0, True), (1.0, True), (-1.0, True), (1.1, False)):
        g = right | {"dW2": right["dW2"].copy()}
        g["dW2"][1, 2] += shift * 0.4 / (2 * d.net.m)
        assert d.check(g).passed == passes, shift


def test_where_torch_clamps_no_slope_is_called_exact() -> None:
    """BCELoss holds a (1 - a) at 1e-12: its backward is then not the derivative of its forward."""
    d = problem(1, loss="binary_cross_entropy", output="sigmoid", hidden=(), l2=0.0)
    d = replace(d, params=d.params | {"b1": np.full(d.params["b1"].shape, -29.0)})
    y = np.ones_like(d.y)
    t = manual.forward(d.net, d.params, d.x, {})
    g = manual.backward(d.net, d.params, t, y, {})
    d = replace(d, y=y)
    assert d.exact().kinks
    assert d.check(g).verdict == "right but for kinks"
    assert d.check(g | {"db1": -2 * g["db1"]}).wrong == ("b1",)
    well = replace(d, y=np.zeros_like(y))  # saturated, but right: no slope, and no licence either
    g = manual.backward(d.net, d.params, t, well.y, {})
    assert well.check(g).passed
    assert well.check(g | {"db1": g["db1"] + 1e-9}).wrong == ("b1",)


@pytest.mark.parametrize("seed", [5000128, 5000440])
def test_a_wrong_sure_answer_keeps_few_digits_of_1_minus_a(seed: int) -> None:
    """Drawn once as false alarms: at 1 - a = 1e-8 long double keeps 12 digits of the slope."""
    d = draw(seed)
    assert d.check(d.manual).passed
    assert d.check(d.torch).passed


def test_refusals() -> None:
    d = problem(9)
    with pytest.raises(ValueError, match="draw them once, with dropout_mask"):
        replace(d, masks={"mask1": np.random.default_rng(0)}).exact()  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="W1 is float32, expected float64"):
        replace(d, params=d.params | {"W1": d.params["W1"].astype("float32")}).exact()
    with pytest.raises(ValueError, match="no sample"):
        replace(d, x=d.x[:0], y=d.y[:0], masks={}).exact()
    with pytest.raises(ValueError, match="no gradient for b2"):
        d.check({n: g for n, g in d.manual.items() if n != "db2"})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_wrong(bad: float) -> None:
    d = problem(10)
    g = d.manual | {"db1": np.full_like(d.manual["db1"], bad)}
    assert d.check(g).wrong == ("b1",)
    x = d.x.copy()
    x[0, 0] = bad
    with np.errstate(all="ignore"):
        check = replace(d, x=x).check(d.manual)
    assert not check.passed


def test_the_penalty_is_part_of_the_cost() -> None:
    d = problem(11, l2=0.7)
    without = d.manual | {n: d.manual[n + "_loss"] for n in ("dW1", "dW2", "dW3")}
    assert d.check(without).wrong == ("W1", "W2", "W3")
