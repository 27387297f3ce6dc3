"""Ways to a false PASS that need a whole run: real mistakes in either side's own code, and what the
defaults would hide. (Ways that a comparison alone can fall for: tests/test_differences.py.)"""

import json
from collections.abc import Callable
from typing import Any

import click
import numpy as np
import pytest
import torch
from torch import nn

from tests.command import Ended
from tests.drawn import case_and_data
from torch_parity import Case, check, given, manual
from torch_parity.compare.causes import CATALOGUE
from torch_parity.compare.cli import parity
from torch_parity.compare.flow.law import flow
from torch_parity.compare.judge.judge import judge
from torch_parity.compare.show.judgement_json import to_json
from torch_parity.compare.sources import pair
from torch_parity.manual import operations
from torch_parity.manual.operations import find
from torch_parity.torch_ref.trace import OPTIMIZERS

SMALL = ("--data", "moons", "--hidden", "6,5", "--activation", "tanh")
Parity = Callable[..., Ended]


def wrong_in_the_model(monkeypatch: pytest.MonkeyPatch, name: str, functions: Any) -> None:
    """The network takes these functions for an activation; the register has the right ones."""
    monkeypatch.setattr(operations, "find", lambda n: functions if n == name else find(n))


@pytest.mark.parametrize("args", [("train", "--steps", "12"), ("check",)])
def test_a_mistake_by_hand_ends_with_status_1(
    parity: Parity, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    """A backward that forgets the slope, in the hand-written side itself."""
    wrong_in_the_model(monkeypatch, "tanh", (manual.tanh, lambda da, z: da * 1))
    ended = parity(*args, *SMALL)
    assert ended.status == 1
    assert "FAIL" in ended.out
    assert "manual is wrong, torch is right" in ended.out
    assert "Cause (manual): slope_missing" in ended.out


ZEROS = ("--initializer", "zeros", "--bias-scale", "0", "--p", "0", "--l2", "0")


@pytest.mark.parametrize("args", [("train", "--steps", "12"), ("check",)])
def test_a_mistake_that_zeros_hide_is_no_quiet_pass(
    parity: Parity, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    """The same mistake, where all that it touches is 0: it passes, and that is said."""
    right = parity(*args, *SMALL).out
    assert "no power" not in right
    wrong_in_the_model(monkeypatch, "tanh", (manual.tanh, lambda da, z: da * 7))
    ended = parity(*args, *SMALL, *ZEROS)
    assert ended.status == 0
    assert "W1, b1, W2, b2, W3 are 0 in every entry" in ended.out
    assert "no power over z1, a1, h1, z2, a2, h2, dh2, dW3, ..." in ended.out


def test_the_zeros_of_one_step_and_its_report() -> None:
    """Named are the tensors that NumPy finds to be zeros, and no others."""
    at = given(Case(data="moons", hidden=(4,), initializer="zeros", bias_scale=0.0, p=0, l2=0.0))
    x, y = at["x"], at["y"]
    dz2 = (1 / (1 + np.exp(-at["b2"])) - y) / len(x)
    mine = {"z1": np.zeros((len(x), 4)), "dz2": dz2, "dW2": dz2.T @ np.zeros((len(x), 4))}
    mine |= {"db2": dz2.sum(axis=0)}
    report = check(mine, at)
    assert report.passed
    zero = tuple(n for n, a in mine.items() if not a.any())
    assert set(report.judgement.zeros) == set(zero) == {"z1", "dW2"}
    assert "The check had no power over z1, dW2: every entry is 0" in report.verdict


def forward_without(forgotten: str, at: Any) -> dict[str, np.ndarray]:
    """Two layers by hand, in which one of the biases is not added."""
    b1, b2 = (0 if name == forgotten else at[name] for name in ("b1", "b2"))
    z1 = at["x"] @ at["W1"].T + b1
    return {"z1": z1, "z2": np.tanh(z1) @ at["W2"].T + b2}


@pytest.mark.parametrize("forgotten", ["b1", "b2"])
def test_a_forgotten_bias_of_zeros_is_not_shown(forgotten: str) -> None:
    """Where the bias is 0 it passes, with the name of what was not shown; elsewhere it fails."""
    case = Case(data="moons", hidden=(3,), activation="tanh", p=0, l2=0.0)
    at = given(case)
    assert check(forward_without(forgotten, at), at).outcome == "FAIL"
    assert check(forward_without("", at), at).unshown == ()
    params = {n: at[n] for n in ("W1", "W2")} | {n: 0 * at[n] for n in ("b1", "b2")}
    at = given(case, params=params)
    report = check(forward_without(forgotten, at), at)
    assert (report.outcome, report.unshown) == ("PASS", ("b1", "b2"))
    assert report.judgement.given_zeros == ("b1", "b2")
    told = json.loads(to_json(report.judgement))
    assert told["given_zeros"] == ["b1", "b2"]
    for text in (report.verdict, str(report), report._repr_html_()):
        assert "b1, b2 are 0 in every entry" in text
    only = {"z1": forward_without(forgotten, at)["z1"]}
    assert check(only, at).unshown == ("b1",), "b2 is not read"


def test_a_bias_that_a_later_step_moves_is_shown() -> None:
    """Step 2 reads what step 1 has made of the zeros; unless that is 0 as well."""
    at = given(Case(data="moons", hidden=(), bias_scale=0.0, l2=0.0, optimizer="sgd"), step=1)
    x, y, w, b = at["x"], at["y"], at["W1"], at["b1"]
    steps = []
    for _ in range(2):
        made = x @ w.T + b
        dz = (1 / (1 + np.exp(-made)) - y) / len(x)
        w, b = w - at.case.lr * dz.T @ x, b - at.case.lr * dz.sum(axis=0)
        steps.append({"z1": made, "W1": w, "b1": b})
    assert check(steps[:1], at).unshown == ("b1",)
    report = check(steps, at)
    assert (report.outcome, report.unshown) == ("PASS", ())


def test_weights_of_zero_are_not_shown() -> None:
    at = given(Case(data="moons", hidden=(4,), initializer="zeros", p=0, l2=0.0), step=1)
    report = check({"z1": at["x"] @ at["W1"].T + at["b1"]}, at)
    assert (report.outcome, report.unshown) == ("PASS", ("W1",))


@pytest.mark.parametrize("args", [("train", "--steps", "12"), ("check",)])
def test_a_mistake_in_torch_ends_with_status_1(
    parity: Parity, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    """nesterov=True, in the torch side itself."""

    def wrong(groups: Any, lr: float, momentum: float) -> torch.optim.SGD:
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=True)

    monkeypatch.setitem(OPTIMIZERS, "momentum", (wrong, OPTIMIZERS["momentum"][1]))
    ended = parity(*args, *SMALL)
    assert ended.status == 1
    assert "torch is wrong, manual is right" in ended.out
    assert "Cause (torch): nesterov" in ended.out


def test_one_step_would_hide_what_three_show(
    parity: Parity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without memory yet, momentum is gradient descent: so check takes three steps by itself."""

    def forget(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        for state in optimizer.state.values():
            state["momentum_buffer"].zero_()

    def wrong(groups: Any, lr: float, momentum: float) -> torch.optim.SGD:
        optimizer = torch.optim.SGD(groups, lr=lr, momentum=momentum)
        optimizer.register_step_pre_hook(forget)
        return optimizer

    monkeypatch.setitem(OPTIMIZERS, "momentum", (wrong, OPTIMIZERS["momentum"][1]))
    assert parity("check", *SMALL, "--steps", "1").status == 0
    ended = parity("check", *SMALL)
    assert ended.status == 1
    assert "momentum_missing" in ended.out


def test_a_capture_is_not_overwritten_by_an_in_place_activation() -> None:
    """nn.ReLU(inplace=True) writes a into z; the recorder's copy of z was made before."""
    case, data = case_and_data(
        7, hidden=(6, 5), activation="relu", loss="mse_loss", output="identity", p=0.0
    )
    built = pair.build(case, data)
    built.torch.net.a1 = nn.ReLU(inplace=True)
    y = built.targets.y_train
    by_torch, masks = built.torch.step(data.x_train, y)
    by_hand = built.manual.step(built.params, built.state, data.x_train, y, masks)
    assert (by_torch["z1"] < 0).any()
    start = {"x": data.x_train, "y": y, **built.params, **built.state, **masks}
    nodes = flow(built.manual.net, built.manual.optimizer, masks)
    assert judge(nodes, start, by_hand, by_torch, always_replay=True).passed


def test_the_defaults_hide_nothing() -> None:
    """p = 0.5 hides keep_prob, zero biases a forgotten bias, one sample a wrong axis, equal widths
    a transpose."""
    case = Case()
    assert case.p not in (0.0, 0.5)
    assert case.bias_scale > 0
    assert case.batch > 1
    assert len(set(case.hidden)) == len(case.hidden)
    assert case.l2 > 0


def test_no_tolerance_can_be_loosened() -> None:
    """Bounds are derived; there is no option for them, in any command."""
    for command in parity.commands.values():
        for option in command.params:
            assert isinstance(option, click.Parameter)
            assert not any(word in str(option.name) for word in ("tol", "bound", "atol", "rtol"))


def test_upstream_gradients_of_all_ones_would_hide_a_wrong_softmax() -> None:
    """Their softmax gradient is 0 whatever the formula; the pair's own upstream is not of ones."""
    z = np.random.default_rng(0).normal(size=(4, 5))
    assert np.abs(manual.softmax_backward(np.ones((4, 5)), z)).max() < 1e-15
    case, data = case_and_data(
        9, hidden=(6,), activation="softmax", loss="mse_loss", output="identity"
    )
    built = pair.build(case, data)
    by_torch, _ = built.torch.step(data.x_train, built.targets.y_train)
    assert np.ptp(by_torch["da1"]) > 1e-6


def test_every_cause_has_a_name_that_can_be_typed() -> None:
    assert all(name.isidentifier() for name in CATALOGUE)
