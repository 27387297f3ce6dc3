"""Random networks: both sides, every tensor, several steps."""

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch import nn

from tests.drawn import case_and_data, steps
from torch_parity import manual
from torch_parity.compare.judge.judge import judge
from torch_parity.torch_ref.losses.regularization import parameter_groups
from torch_parity.torch_ref.models.mlp import MLP

both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@both_dtypes
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
@example(seed=6046)  # diverges, so it is drawn again
def test_random_correct_pairs_are_never_faulted(dtype: str, seed: int) -> None:
    torch.manual_seed(seed % 2**31)
    case, data = case_and_data(seed, dtype=dtype)
    try:
        recorded = steps(case, data)
    except ArithmeticError:
        assume(False)
    for r in recorded:
        verdict = judge(r.nodes, r.start, r.manual, r.torch, always_replay=True)
        assert verdict.passed, (
            f"seed {seed}, {r.pair.manual.net}: {verdict.root} "
            f"{[d for d in verdict.differences if not d.passed][:1]}"
        )


def test_a_step_neither_writes_to_its_arguments_nor_shares_memory() -> None:
    """Neither with its arguments nor between tensors of its trace: an alias can hide a mistake."""
    case, data = case_and_data(3, hidden=(5, 4), output="identity", loss="cross_entropy", p=0.3)
    for r in steps(case, data):
        built, start, by_hand, by_torch = r.pair, r.start, r.manual, r.torch
        before = {name: a.copy() for name, a in start.items()}
        for a in start.values():
            a.setflags(write=False)
        masks = {n: a for n, a in start.items() if n.startswith("mask")}
        state = {n: start[n] for n in built.state}
        params = {n: start[n] for n in built.params}
        again = built.manual.step(params, state, start["x"], start["y"], masks)
        assert all(np.array_equal(before[n], a) for n, a in start.items())
        for trace in (again, by_hand, by_torch):
            arrays = [*trace.values(), *start.values()]
            for i, a in enumerate(trace.values()):
                assert not any(np.shares_memory(a, b) for b in arrays[i + 1 :])


def test_no_mask_means_evaluation() -> None:
    """Dropout is off: the same output on both sides, independent of earlier random draws."""
    case, data = case_and_data(8, hidden=(6, 5), loss="cross_entropy", output="identity", p=0.6)
    r = steps(case, data, count=1)[0]
    built, start, by_hand = r.pair, r.start, r.manual
    params = {n: start[n] for n in built.params}
    t = manual.forward(built.manual.net, params, data.x_train, {})
    assert np.array_equal(t["h1"], t["a1"])
    assert not np.array_equal(by_hand["a3"], t["a3"])
    loss, output = built.torch.evaluate(data.x_train, data.labels_train)
    again = built.torch.evaluate(data.x_train, data.labels_train)
    assert loss == again[0]
    assert all(np.array_equal(output[name], again[1][name]) for name in output)
    by_hand_loss, by_hand_output = built.manual.evaluate(
        built.torch.params(), data.x_train, data.labels_train
    )
    assert list(output) == ["h0", *[f"{kind}{k}" for k in (1, 2, 3) for kind in "zah"][:-1]]
    for name in output:
        np.testing.assert_allclose(by_hand_output[name], output[name], rtol=1e-12, atol=1e-15)
    assert by_hand_loss == pytest.approx(loss, rel=1e-12)


@both_dtypes
def test_the_two_routes_of_l2_take_the_same_step(dtype: str) -> None:
    """weight_decay = lambda / m in a parameter group, and lambda / 2m sum W^2 in the loss."""
    traces = []
    for route in ("weight_decay", "loss"):
        torch.manual_seed(1)
        fixed = {"l2": 2.5, "l2_route": route, "optimizer": "momentum", "hidden": (6, 4)}
        case, data = case_and_data(21, dtype=dtype, loss="mse_loss", output="identity", **fixed)
        traces.append([r.torch for r in steps(case, data)])
    for a, b in zip(*traces, strict=True):
        for name in a:
            gap, size = np.abs(a[name] - b[name]).max(), np.abs(a[name]).max()
            assert gap <= 64 * np.finfo(dtype).eps * size, name


def test_biases_are_never_decayed() -> None:
    net = MLP((3, 5, 4, 2))
    weights, biases = parameter_groups(net, 0.3)
    assert {tuple(p.shape) for p in weights["params"]} == {(5, 3), (4, 5), (2, 4)}
    assert {tuple(p.shape) for p in biases["params"]} == {(5,), (4,), (2,)}
    assert (weights["weight_decay"], biases["weight_decay"]) == (0.3, 0.0)


def test_every_parameter_is_in_one_group_whatever_its_name() -> None:
    """Weights by their dimensions: torch calls a batch norm's scale weight, an LSTM's weight_ih."""
    net = nn.ModuleDict(
        {"fc": nn.Linear(3, 4), "norm": nn.BatchNorm1d(4), "rnn": nn.LSTM(4, 2)},
    )
    net["fc"].register_parameter("gain", nn.Parameter(torch.ones(4)))
    decayed, others = (group["params"] for group in parameter_groups(net, 0.3))
    names = {id(p): name for name, p in net.named_parameters()}
    assert {names[id(p)] for p in decayed} == {"fc.weight", "rnn.weight_ih_l0", "rnn.weight_hh_l0"}
    assert len(decayed) + len(others) == len(names)


def test_torchs_parameters_are_not_the_hands() -> None:
    """torch.from_numpy would share memory: one side's update would change the other's weights."""
    case, data = case_and_data(5, hidden=(4,))
    built = steps(case, data, count=1)[0].pair
    for name, p in built.torch.parameters.items():
        assert not np.shares_memory(p.detach().numpy(), built.params[name])
